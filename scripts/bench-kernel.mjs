/**
 * `npm run bench:kernel [-- --quick --real-time --write]`: what the kernel costs beside plain ipykernel when nothing is profiled.
 * `--write` keeps the table in docs/benchmarks.md; `--quick` measures with few rounds; `--real-time` runs both kernels and their client
 * before all other programs, for machines that are never quiet (needs root). Status 1 if a figure is above what is promised.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { markdown, withPart } from './lib/benchmark-page.mjs';
import { PYTHON, at, shown } from './lib/paths.mjs';
import { run, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

/**
 * @typedef {{ plainMedian: number, oursMedian: number, plainLeast: number, oursLeast: number, rounds: number }} Pair seconds
 * @typedef {{ cpuPercent: number, residentBytes: number }} Idle
 * @typedef {{ startSeconds: Pair, roundTripSeconds: Pair, largeSeconds: Pair, textSeconds: Pair, floodSeconds: Pair,
 *   floodLost: { plain: number, ours: number }, idleAfterCells: Idle, idleAfterOutput: Idle }} Results
 */

/** Those that benchmarks/kernel.py has too. */
const OPTIONS = ['--quick', '--real-time'];
const PAGE = at('docs', 'benchmarks.md');

/** @param {number} value @param {number} digits */
const signed = (value, digits) => `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(digits)}`;
/** Megabytes of a million bytes, as promised. @param {number} bytes */
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

/**
 * What was measured and promised, and whether it holds.
 *
 * @param {Results} results
 */
function judge(results) {
  const { startSeconds, roundTripSeconds, largeSeconds, textSeconds, floodSeconds } = results;
  const lost = results.floodLost;
  const roundTrip = (roundTripSeconds.oursMedian - roundTripSeconds.plainMedian) * 1000;
  const start = startSeconds.oursMedian - startSeconds.plainMedian;
  const resident = Math.max(results.idleAfterCells.residentBytes, results.idleAfterOutput.residentBytes);
  const cpu = Math.max(results.idleAfterCells.cpuPercent, results.idleAfterOutput.cpuPercent);
  /** @param {string} what @param {Pair} pair @returns {[string, string, string, boolean]} */
  const ratio = (what, pair) => {
    const value = pair.oursLeast / pair.plainLeast;
    return [what, `${value.toFixed(2)} times`, '1.2 times', value <= 1.2];
  };
  /** @type {[string, string, string, boolean][]} */
  const rows = [
    ['round trip of an empty cell, median', `${signed(roundTrip, 2)} ms`, '+0.5 ms', roundTrip <= 0.5],
    ['start-up, median', `${signed(start, 2)} s`, '+0.15 s', start <= 0.15],
    ratio('100 MB in one message', largeSeconds),
    ratio('100 MB of text', textSeconds),
    ratio('50,000 messages, until the reply', floodSeconds),
    ['of them lost', `${lost.ours} (ipykernel: ${lost.plain})`, '0', lost.ours === 0],
    ['processor time when idle', `${cpu.toFixed(1)} %`, '0 %', cpu < 0.15],
    ['resident memory when idle, also after 100 MB', megabytes(resident), '70 MB', resident <= 70e6],
  ];
  return rows;
}

await script(async () => {
  const args = process.argv.slice(2);
  await setUp();
  const log = at('build', 'logs', 'bench-kernel.log');
  rmSync(log, { force: true });
  console.log('Measuring the kernel beside plain ipykernel, in turns.');
  await run(PYTHON, [at('benchmarks', 'kernel.py'), ...OPTIONS.filter((option) => args.includes(option))], { log });
  /** @type {Results} */
  const results = JSON.parse(readFileSync(log, 'utf8').trim().split('\n').at(-1) ?? '{}');
  const rows = judge(results);
  const table = markdown([
    ["Fil's kernel, nothing profiled", 'beside ipykernel', 'at most'],
    ...rows.map(([what, measured, promised]) => [what, measured, promised]),
  ]);
  console.log(`\n${table}\n`);
  mkdirSync(at('output'), { recursive: true });
  writeFileSync(at('output', 'benchmark-kernel.json'), `${JSON.stringify(results, null, 2)}\n`);
  if (args.includes('--write')) {
    writeFileSync(
      PAGE,
      withPart(readFileSync(PAGE, 'utf8'), 'kernel', page(table, results, args.includes('--real-time'))),
    );
    console.log(`Written to ${shown(PAGE)}.`);
  }
  const missed = rows.filter(([, , , holds]) => !holds);
  for (const [what, measured, promised] of missed) {
    console.log(`missed: ${what}: ${measured}, promised at most ${promised}`);
  }
  return missed.length === 0 ? 0 : 1;
});

/** @param {string} table @param {Results} results @param {boolean} isRealTime */
function page(table, { roundTripSeconds, startSeconds, largeSeconds, floodSeconds }, isRealTime) {
  return `## The kernel

Written by \`npm run bench:kernel -- --write\` on ${new Date().toISOString().slice(0, 10)}, on ${cpus().length} cores of ${(cpus()[0]?.model ?? '').trim()}.

${table}

The last two are the proxy's own. ${isRealTime ? 'As the machine was shared, both kernels and their client ran with real-time priority. ' : ''}Both kernels run at the same time and take turns: ${roundTripSeconds.rounds} cells each until their reply, ${startSeconds.rounds} starts each, and the
least of ${largeSeconds.rounds} rounds of output each (${floodSeconds.rounds} of the messages), until all of it has arrived; of the messages until the reply, as plain ipykernel drops
some when its client is slower than it is. The measurements are in \`benchmarks/kernel.py\`.`;
}
