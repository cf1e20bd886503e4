/**
 * `npm run bench:lab [-- --write]`: by how much the extension delays Lab's start, how large it is, and how quickly reports are drawn.
 * `--write` keeps the table in docs/benchmarks.md. Status 1 if a figure is above what is promised.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { markdown, withPart } from './lib/benchmark-page.mjs';
import { ROOT, at, shown } from './lib/paths.mjs';
import { run, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

const PAGE = at('docs', 'benchmarks.md');
const RESULTS = at('build', 'bench-lab.json');

/** As `ui-tests/effort.ts` keeps them. @typedef {{ what: string, measured: number, most: number, unit: string }} Figure */
/** @typedef {{ suites?: Suite[], specs?: { tests: { annotations: { type: string, description?: string }[] }[] }[] }} Suite of Playwright's JSON */

/** The figures that tests have kept, in their order. @param {Suite} suite @returns {Figure[]} */
function figures({ suites = [], specs = [] }) {
  const own = specs.flatMap(({ tests }) => tests.flatMap(({ annotations }) => annotations));
  return [
    ...own.flatMap(({ type, description }) => (type === 'figure' ? [JSON.parse(description ?? '')] : [])),
    ...suites.flatMap(figures),
  ];
}

await script(async () => {
  await setUp();
  rmSync(RESULTS, { force: true });
  console.log('Starting Lab with and without the extension in turns, then drawing reports.');
  const status = await run(
    process.execPath,
    [
      at('node_modules', '@playwright', 'test', 'cli.js'),
      'test',
      '--config',
      at('ui-tests', 'playwright.config.ts'),
      '--grep=@speed',
      '--reporter=list,json',
    ],
    {
      log: at('build', 'logs', 'bench-lab.log'),
      env: { FIL_MEASURE_START: '1', PLAYWRIGHT_JSON_OUTPUT_NAME: RESULTS },
      allowFailure: true,
    },
  );
  const measured = figures(JSON.parse(readFileSync(RESULTS, 'utf8')));
  const table = markdown([
    ['in the browser', 'measured', 'at most'],
    ...measured.map(({ what, measured: value, most, unit }) => [
      what,
      `${value.toFixed(0)} ${unit}`,
      `${most} ${unit}`,
    ]),
  ]);
  console.log(`\n${table}\n`);
  if (status === 0 && process.argv.includes('--write')) {
    writeFileSync(PAGE, withPart(readFileSync(PAGE, 'utf8'), 'lab', page(table)));
    console.log(`Written to ${shown(PAGE)}.`);
  }
  if (status !== 0) {
    console.log(
      `A figure was missed or a measurement failed: ${path.relative(ROOT, at('build', 'logs', 'bench-lab.log'))}`,
    );
  }
  return status;
});

/** @param {string} table */
function page(table) {
  return `## JupyterLab

Written by \`npm run bench:lab -- --write\` on ${new Date().toISOString().slice(0, 10)}, on ${cpus().length} cores of ${(cpus()[0]?.model ?? '').trim()}.

${table}

Milliseconds are processor time of the page's main thread, from the click or the data until the picture is painted: scripts, layout and
painting. The clock would also measure what else the machine does. Lab starts with and without the extension in turns, nine times each.`;
}
