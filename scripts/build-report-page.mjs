/**
 * Makes the template of the one-file report: the view with its code and styles inside, and places for a report. The page may load
 * nothing, and run nothing but this very script.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { BUNDLE, at } from './lib/paths.mjs';

/** @type {import('esbuild')} Set-up has installed it by now; a static import would need it before. */
const { build } = createRequire(import.meta.url)('esbuild');

/** @param {string} entry in labextension/src @returns {Promise<string>} one script of it and all that it imports */
async function bundled(entry) {
  const { outputFiles } = await build({
    entryPoints: [at('labextension', 'src', entry)],
    bundle: true,
    minify: true,
    format: 'iife',
    target: ['chrome123', 'firefox120', 'safari17.5'],
    // ASCII, so that the page shows right even where somebody serves it with another encoding.
    charset: 'ascii',
    legalComments: 'none',
    // d3-flame-graph's own style sheet; ours sets everything.
    loader: { '.css': 'empty' },
    write: false,
  });
  return outputFiles[0]?.text ?? '';
}

const bundle = await bundled('standalone.ts');
// Only inside strings and templates can these stand, where the escape means the same.
const script = bundle.replace(/<(?=\/script|script|!--)/gi, '\\x3c');
const hash = createHash('sha256').update(script).digest('base64');

const css = ['page.css', 'report.css'].map((name) => readFileSync(at('style', name), 'utf8')).join('\n');
const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'; img-src data:; base-uri 'none'; form-action 'none'`;

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title><!--fil:title--></title>
<style>
${css.replace(/<\//g, '<\\/')}
</style>
</head>
<body>
<h1><!--fil:heading--></h1>
<main id="fil-report"><!--fil:static--></main>
<script id="fil-report-data" type="application/json"><!--fil:report--></script>
<script id="fil-before-data" type="application/json"><!--fil:before--></script>
<script>${script}</script>
</body>
</html>
`;
mkdirSync(BUNDLE, { recursive: true });
writeFileSync(path.join(BUNDLE, 'report.html'), page);
mkdirSync(at('build'), { recursive: true });
// For the Lab extension, which saves reports as pages: its bundler takes text files as text.
writeFileSync(at('build', 'report-page.txt'), page);

// The parts of a flamegraph that is an SVG file of its own. Its colours are those of the view.
const reportCss = readFileSync(at('style', 'report.css'), 'utf8');
const NAMES = ['ink', 'soft', 'line', 'paper', 'temporary', 'match', 'match-ink', 'neutral', 'heat-ink', 'hottest-ink'];
const names = [...NAMES, ...[1, 2, 3, 4, 5, 6, 7].map((level) => `heat-${level}`)];
/** @param {string} name @returns {[light: string, dark: string]} */
function colours(name) {
  const value = new RegExp(`--fil-${name}: (.*);`).exec(reportCss)?.[1] ?? '';
  const both = /light-dark\(([^,()]*), ([^,()]*)\)/.exec(value);
  const [light, dark] = both === null ? [value, value] : [both[1] ?? '', both[2] ?? ''];
  if (!/^#[0-9a-f]{3,6}$/.test(light) || !/^#[0-9a-f]{3,6}$/.test(dark)) {
    throw new Error(`style/report.css has no colour --fil-${name} that the pictures can take: "${value}".`);
  }
  return [light, dark];
}
/** @param {0 | 1} theme */
const rules = (theme) => {
  /** @type {Record<string, string>} */
  const of = Object.fromEntries(names.map((name) => [name, colours(name)[theme]]));
  const heats = [1, 2, 3, 4, 5, 6, 7].map((level) => `.heat-${level}{fill:${of[`heat-${level}`]}}`);
  return [
    `.paper{fill:${of['paper']}}text{fill:${of['ink']}}text.soft{fill:${of['soft']}}`,
    ...heats,
    `.rest{fill:${of['neutral']}}#frames text{fill:${of['heat-ink']}}#frames .rest text{fill:${of['ink']}}`,
    `#frames .heat-7 text{fill:${of['hottest-ink']}}`,
    `.match{fill:${of['match']}}#frames .match text{fill:${of['match-ink']}}`,
    `.request rect{fill:${of['paper']};stroke:${of['soft']}}.request .asked{stroke:${of['temporary']}}`,
    `#frames rect{stroke:${of['paper']}}#tooltip rect{fill:${of['paper']};stroke:${of['line']}}`,
  ].join('');
};
const pictureCss =
  `.heading{font-size:15px;font-weight:600}.soft{font-size:12px}#tooltip text{font-size:12px}#tooltip{pointer-events:none}` +
  `.request rect{stroke-width:1;stroke-dasharray:5 3}.request .asked{stroke-width:2}` +
  `#frames g{cursor:pointer}#frames rect{stroke-width:.5}#frames text{pointer-events:none}#frames g:hover rect{stroke:#000}` +
  `.button{cursor:pointer;font-size:12px;text-decoration:underline}.caller{opacity:.55}.searching #frames g:not(.match){opacity:.45}` +
  `#search{box-sizing:border-box;width:100%;font:12px system-ui,sans-serif}` +
  `${rules(0)}@media (prefers-color-scheme:dark){svg{color-scheme:dark}${rules(1)}}`;
writeFileSync(path.join(BUNDLE, 'picture.css'), pictureCss);
// In XML it stands in a CDATA section.
writeFileSync(path.join(BUNDLE, 'picture.js'), (await bundled('picture.ts')).trim().replaceAll(']]>', ']] >'));
