/** The sentences that readers see, for translators: the first arguments of `say` in the code of the browser and what it shares. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { ROOT, at } from './paths.mjs';
import { filesBelow } from './steps.mjs';

/**
 * @typedef {object} Sentence
 * @property {string | null} text null where the code does not say it literally.
 * @property {number} values how many values it is given.
 * @property {string} place file and line.
 */

/** @returns {Sentence[]} in the order of files and lines. */
export function sentences() {
  const files = ['schema', path.join('labextension', 'src')]
    .flatMap((folder) => filesBelow(at(folder)))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts') && !file.includes(`${path.sep}test${path.sep}`));
  return files.sort().flatMap((file) => {
    const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
    /** @type {Sentence[]} */
    const found = [];
    /** @param {ts.Node} node */
    const visit = (node) => {
      const [text, ...values] = ts.isCallExpression(node) ? node.arguments : [];
      if (
        text !== undefined &&
        ts.isCallExpression(node) &&
        ts.isIdentifier(node.expression) &&
        node.expression.text === 'say'
      ) {
        const place = `${path.relative(ROOT, file)}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
        found.push(...literals(text).map((literal) => ({ text: literal, values: values.length, place })));
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
    return found;
  });
}

/**
 * @param {ts.Expression} text
 * @returns {(string | null)[]} of a condition, both
 */
function literals(text) {
  if (ts.isConditionalExpression(text)) {
    return [...literals(text.whenTrue), ...literals(text.whenFalse)];
  }
  return [ts.isStringLiteralLike(text) ? text.text : null];
}

/** @returns {string} a gettext template, as JupyterLab's language packs are made from. */
export function catalog() {
  /** @type {Map<string, string[]>} */
  const places = new Map();
  for (const { text, place } of sentences()) {
    if (text !== null) {
      places.set(text, [...(places.get(text) ?? []), place]);
    }
  }
  const header = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n"Domain: filprofiler\\n"\n';
  const entries = [...places].map(
    ([text, where]) => `${where.map((place) => `#: ${place}`).join('\n')}\nmsgid ${JSON.stringify(text)}\nmsgstr ""\n`,
  );
  return [header, ...entries].join('\n');
}
