/** What we depend on, as docs/dependencies.md tells it and as it is: `npm test -- lint` holds the one against the other. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { shippedPackages } from './audit.mjs';
import { PYTHON, at } from './paths.mjs';

/** @typedef {{ name: string, licences: readonly string[] }} Installed the SPDX names, or what stands for them */
/** @typedef {{ names: readonly string[], reason: string, licence: string, maintained: string }} Row */

/** May be in what users get: nothing asks more of them than to be named. MPL-2.0 only as libraries of their own files. */
const PERMISSIVE = new Set(
  (
    '0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BlueOak-1.0.0 CC0-1.0 ISC MIT MIT-0 MIT-CMU MPL-2.0 PSF-2.0 Python-2.0 Unlicense Zlib ' +
    'CC-BY-4.0 OFL-1.1'
  ).split(' '),
);
/** Beside these, what only stands on a developer's machine may be under a licence that asks for its own source. */
const OF_TOOLS = new Set([...PERMISSIVE, 'EPL-2.0', 'LGPL-2.1', 'LGPL-3.0']);
/** npm packages without a licence in package.json: what their LICENSE file says. */
const IN_THEIR_FILES = new Map([['khroma', 'MIT']]);

/** Names that packages of PyPI give to licences in words of their own. */
const WORDS = /** @type {readonly (readonly [RegExp, string])[]} */ ([
  [/\bapache\b/i, 'Apache-2.0'],
  [/\bmpl\b|mozilla public/i, 'MPL-2.0'],
  [/\bMIT-0\b/i, 'MIT-0'],
  [/\bMIT-CMU\b/i, 'MIT-CMU'],
  [/\bmit\b/i, 'MIT'],
  [/\bISC/i, 'ISC'],
  [/BSD[- ]2/i, 'BSD-2-Clause'],
  [/\bBSD\b/i, 'BSD-3-Clause'],
  [/\bpsf|python software foundation/i, 'PSF-2.0'],
  [/\bCC0\b/i, 'CC0-1.0'],
  [/unlicense/i, 'Unlicense'],
  [/\bLGPL.*3/i, 'LGPL-3.0'],
  [/\bLGPL/i, 'LGPL-2.1'],
]);

/** The rows of all tables of the page. @param {string} page */
export function tableRows(page) {
  /** @type {Row[]} */
  const rows = [];
  for (const line of page.split('\n')) {
    const cells = line.split('|').slice(1, -1);
    const [names = '', reason = '', licence = '', maintained = ''] = cells.map((cell) => cell.trim());
    if (cells.length > 0 && names !== 'package' && !/^-+$/.test(names)) {
      rows.push({ names: names.replaceAll(/ \([^)]*\)/g, '').split(/,\s*/), reason, licence, maintained });
    }
  }
  return rows;
}

/** Names of Python packages in lines of requirements. @param {string} lines */
export const required = (lines) =>
  lines
    .split('\n')
    .map((line) => /^[\w.-]+/.exec(line.trim())?.[0] ?? '')
    .filter((name) => name !== '');

/**
 * What is wrong with the page.
 *
 * @param {readonly Row[]} rows @param {readonly string[]} declared what the project asks for by name
 * @param {readonly string[]} elsewhere what comes neither from npm nor from PyPI
 */
export function mistakes(rows, declared, elsewhere) {
  const told = new Set(rows.flatMap((row) => row.names));
  const known = new Set([...declared, ...elsewhere]);
  return [
    ...declared.filter((name) => !told.has(name)).map((name) => `${name} is not in docs/dependencies.md.`),
    ...[...told]
      .filter((name) => !known.has(name))
      .map((name) => `${name} is in docs/dependencies.md, and nothing needs it.`),
    ...rows
      .filter(({ reason, licence, maintained }) => reason === '' || licence === '' || maintained === '')
      .map(({ names }) => `${names.join(', ')}: reason, licence or maintainers are missing in docs/dependencies.md.`),
  ];
}

/** The licences of an SPDX expression that can't be chosen from: of `A OR B`, both, as one is enough. @param {string} expression */
const alternatives = (expression) =>
  expression
    .replaceAll(/[()]/g, '')
    .split(/\s+OR\s+/)
    .map((each) => each.split(/\s+AND\s+/));

/**
 * Packages whose licence is not known to be fine for their use.
 *
 * @param {readonly Installed[]} packages @param {(name: string) => boolean} isShipped
 */
export function unfitLicences(packages, isShipped) {
  return packages
    .filter(({ name, licences }) => {
      const fit = isShipped(name) ? PERMISSIVE : OF_TOOLS;
      const isFit = licences.some((expression) =>
        alternatives(expression).some((all) => all.every((each) => fit.has(each))),
      );
      return !isFit;
    })
    .map(({ name, licences }) => `${name}: its licence is ${licences.join(', ') || 'not told'}.`);
}

/**
 * All packages of package-lock.json, with the licences that they declare.
 *
 * @param {{ packages: Record<string, { license?: string, link?: boolean }> }} lock
 * @param {(place: string) => { licenses?: { type: string }[] }} manifest package.json of one that the lock tells nothing of
 * @returns {Installed[]}
 */
export function npmPackages(lock, manifest) {
  return Object.entries(lock.packages)
    .filter(([place, { link }]) => place !== '' && link !== true)
    .map(([place, { license }]) => {
      const name = place.replace(/^.*node_modules\//, '');
      const told = license ?? IN_THEIR_FILES.get(name);
      return { name, licences: told === undefined ? (manifest(place).licenses ?? []).map(({ type }) => type) : [told] };
    });
}

/** @param {string} words @returns {string[]} */
function inSpdx(words) {
  if (
    alternatives(words)
      .flat()
      .every((each) => OF_TOOLS.has(each))
  ) {
    return [words];
  }
  const found = WORDS.find(([pattern]) => pattern.test(words))?.[1];
  return found === undefined ? [] : [found];
}

/** All packages of .venv, with what they say of their licences. @returns {Installed[]} */
export function pythonPackages() {
  const program = `
import importlib.metadata, json
packages = []
for each in importlib.metadata.distributions():
    told = each.metadata
    classifiers = [name.split(" :: ")[-1] for name in told.get_all("Classifier") or [] if name.startswith("License ::")]
    words = told["License-Expression"] or ", ".join(classifiers) or (told["License"] or "")[:200]
    packages.append([told["Name"], words])
print(json.dumps(packages))`;
  const answer = spawnSync(PYTHON, ['-c', program], { encoding: 'utf8' });
  /** @type {[string, string][]} */
  const packages = JSON.parse(answer.stdout);
  return packages
    .filter(([name]) => name !== 'filprofiler')
    .map(([name, words]) => ({ name, licences: inSpdx(words) }));
}

/** Of the machine: found by cmake, apt-get and the tests. */
const ELSEWHERE = ['GoogleTest', 'Chromium', 'jemalloc', 'tcmalloc', 'gfortran', 'libzmq'];

/** Everything that is wrong, a sentence each; empty if nothing is. */
export function dependencyProblems() {
  /** @param {string[]} file */
  const text = (...file) => readFileSync(at(...file), 'utf8');
  const { dependencies, devDependencies } = JSON.parse(text('package.json'));
  const lock = JSON.parse(text('package-lock.json'));
  const pyproject = text('pyproject.toml');
  /** @param {string} key of a list of requirements in pyproject.toml */
  const listed = (key) =>
    [...(new RegExp(`^${key} = \\[([^\\]]*)\\]`, 'm').exec(pyproject)?.[1] ?? '').matchAll(/"([\w.-]+)/g)].map(
      (match) => match[1] ?? '',
    );
  const python = [
    ...listed('dependencies'),
    ...listed('requires'),
    ...required(text('scripts', 'python-packages.txt')),
    ...required(text('benchmarks', 'peers.txt')),
  ];
  const declared = [...new Set([...Object.keys({ ...dependencies, ...devDependencies }), ...python])];
  const shipped = new Set([...shippedPackages(lock), ...listed('dependencies')]);
  const packages = [...npmPackages(lock, (place) => JSON.parse(text(place, 'package.json'))), ...pythonPackages()];
  return [
    ...mistakes(tableRows(text('docs', 'dependencies.md')), declared, ELSEWHERE),
    ...unfitLicences(packages, (name) => shipped.has(name)),
  ];
}
