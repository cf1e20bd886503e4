/**
 * `npm run bench [-- --quick --write --only NAME]`: CPU time of workloads under Fil, off and on, beside Fil 2024.11 and memray, as
 * ratios to plain Python. `--write` keeps the table in docs/benchmarks.md; `--quick` measures each once.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { MODES, PEERS, geometricMean, isPeer, measureAll } from './lib/benchmark.mjs';
import { PYTHON, at, shown } from './lib/paths.mjs';
import { Failure, run, script } from './lib/process.mjs';
import { findPython } from './lib/python.mjs';
import { setUp } from './lib/setup.mjs';
import { performAll } from './lib/steps.mjs';

/** @import { Row } from './lib/benchmark.mjs' */
/** @import { Step } from './lib/steps.mjs' */

const COLUMNS = /** @type {const} */ ({
  off: 'Fil, not tracking',
  on: 'Fil, tracking',
  'old-fil': 'Fil 2024.11.2',
  memray: 'memray 1.20',
});
const CONSTRAINTS = at('scripts', 'python-constraints.txt');
const HINT = 'check that the package registry can be reached, then run the command again.';

/** @type {Step} */
const peers = {
  id: 'peers',
  title: 'Making the environment of the other profilers, .venv-peers',
  inputs: ['benchmarks/peers.txt'],
  outputs: ['.venv-peers/bin/memray', '.venv-peers/bin/fil-profile'],
  // Their NumPy and pandas are to be those of .venv.
  facts: () => [findPython(), ...(readFileSync(CONSTRAINTS, 'utf8').match(/^(numpy|pandas)==.*$/gm) ?? [])],
  run: async (log) => {
    rmSync(PEERS, { recursive: true, force: true });
    await run(findPython(), ['-m', 'venv', PEERS], { log });
    const pip = [path.join(PEERS, 'bin', 'python'), '-m', 'pip', 'install'];
    const [command = '', ...args] = [...pip, '-r', at('benchmarks', 'peers.txt'), '-c', CONSTRAINTS];
    await run(command, args, { log, hint: HINT });
  },
};

/** @param {Map<string, Row>} table @returns {string[][]} heading, a row for each workload, the mean */
function ratios(table) {
  const columns = /** @type {const} */ (['off', 'on', 'old-fil', 'memray']);
  /** @param {number} value */
  const shownRatio = (value) => value.toFixed(2);
  const rows = [...table].map(([workload, row]) => [
    workload,
    `${row.plain.toFixed(2)} s`,
    ...columns.map((column) => shownRatio(row[column] / row.plain)),
  ]);
  const means = columns.map((column) =>
    shownRatio(geometricMean([...table.values()].map((row) => row[column] / row.plain))),
  );
  return [
    ['workload', 'plain Python', ...columns.map((column) => COLUMNS[column])],
    ...rows,
    ['geometric mean', '', ...means],
  ];
}

/** @param {string[][]} rows */
function markdown(rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    return `| ${cells.join(' | ')} |`;
  });
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [lines[0], rule, ...lines.slice(1)].join('\n');
}

/** @returns {Promise<string[]>} names of the workloads, from the Python side, where they are defined */
async function workloadNames() {
  const log = at('build', 'logs', 'bench-workloads.log');
  rmSync(log, { force: true });
  const program =
    'import json, sys; sys.path.insert(0, "benchmarks"); import workloads; print(json.dumps(list(workloads.WORKLOADS)))';
  await run(PYTHON, ['-c', program], { log });
  return JSON.parse(readFileSync(log, 'utf8').trim().split('\n').at(-1) ?? '[]');
}

await script(async () => {
  const args = process.argv.slice(2);
  const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : undefined;
  const quick = args.includes('--quick');
  await setUp();
  await performAll([peers]);

  const workloads = (await workloadNames()).filter((name) => only === undefined || name.includes(only));
  if (workloads.length === 0) {
    throw new Failure(`No workload's name contains "${only}". They are in benchmarks/workloads.py.`);
  }
  const rounds = quick ? 1 : 9;
  const peerRounds = quick ? 1 : 3;
  const all = workloads.length * MODES.reduce((sum, mode) => sum + (isPeer(mode) ? peerRounds : rounds), 0);
  const started = performance.now();
  let done = 0;
  console.log(
    `Measuring ${workloads.length} workloads: the least CPU time of ${rounds} interleaved rounds (peers: ${peerRounds}).`,
  );
  const table = await measureAll(workloads, {
    rounds,
    peerRounds,
    onMeasured: () => {
      done += 1;
      if (process.stdout.isTTY) {
        process.stdout.write(`\r${done} of ${all}`);
      }
    },
  });
  console.log(
    `${process.stdout.isTTY ? '\r' : ''}Measured in ${((performance.now() - started) / 1000).toFixed(0)} s.\n`,
  );
  const text = markdown(ratios(table));
  console.log(
    `${text}\n\nCPU time (user and system, all threads) of the workload, as a ratio to plain Python; less is better.`,
  );

  const result = {
    measuredAt: new Date().toISOString(),
    machine: { processor: cpus()[0]?.model ?? '', cores: cpus().length },
    rounds,
    peerRounds,
    cpuSeconds: Object.fromEntries(table),
  };
  mkdirSync(at('output'), { recursive: true });
  writeFileSync(at('output', 'benchmarks.json'), `${JSON.stringify(result, null, 2)}\n`);
  console.log(`Also in ${shown(at('output', 'benchmarks.json'))}.`);
  if (args.includes('--write')) {
    writeFileSync(at('docs', 'benchmarks.md'), page(text, result));
    console.log(`Written to ${shown(at('docs', 'benchmarks.md'))}.`);
  }
});

/** @param {string} text @param {{ measuredAt: string, machine: { processor: string, cores: number }, rounds: number, peerRounds: number }} result */
function page(text, result) {
  const { machine, rounds, peerRounds } = result;
  return `# Benchmarks

Written by \`npm run bench -- --write\` on ${result.measuredAt.slice(0, 10)}, on ${machine.cores} cores of ${machine.processor.trim()}.

${text}

CPU time (user and system, all threads) of the workload as a ratio to plain Python; less is better. Each measurement is a process of
its own, in turns; the figure is the least of ${rounds} rounds, of ${peerRounds} for the other profilers. All have imported the same modules and
collected garbage before the time starts. What a profiler does before and after the workload, such as writing its report, is not
counted. memray runs with \`trace_python_allocators=True\`, as Fil counts Python's own objects too.

The workloads are in [benchmarks/workloads.py](../benchmarks/workloads.py).
`;
}
