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

const { outputFiles } = await build({
  entryPoints: [at('labextension', 'src', 'standalone.ts')],
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
const bundle = outputFiles[0]?.text ?? '';
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
<main id="fil-report"><!--fil:static--></main>
<script id="fil-report-data" type="application/json"><!--fil:report--></script>
<script>${script}</script>
</body>
</html>
`;
mkdirSync(BUNDLE, { recursive: true });
writeFileSync(path.join(BUNDLE, 'report.html'), page);
mkdirSync(at('build'), { recursive: true });
// For the Lab extension, which saves reports as pages: its bundler takes text files as text.
writeFileSync(at('build', 'report-page.txt'), page);
