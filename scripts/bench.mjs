/**
 * `npm run bench [-- PART... --quick --write --only NAME]`: what Fil costs, off and on, beside Fil 2024.11 and memray. Parts: `times` and
 * `memory` (without names, these two), `curves`, `sampling`, `pyperformance`; `all` for all of them. Each keeps its figures in output/bench-PART.json;
 * `curves --python PATH` only shows the curves, of another Python; `--page` measures nothing; `--write` makes docs/benchmarks.md of what is there. `--rounds N` (of the peers: a third), `--quick` for one.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { curvesTable, memoryTable, otherParts, page, timesTable } from './lib/benchmark-page.mjs';
import {
  MODES,
  PEERS,
  PEER_PYTHON,
  SAMPLED_MODES,
  isPeer,
  measure,
  measureAll,
  measurePoint,
} from './lib/benchmark.mjs';
import { PYTHON, at, shown } from './lib/paths.mjs';
import { Failure, run, script } from './lib/process.mjs';
import { findPython } from './lib/python.mjs';
import { setUp } from './lib/setup.mjs';
import { performAll } from './lib/steps.mjs';

/** @import { Mode, Row } from './lib/benchmark.mjs' */
/** @import { Curves, Measured, Results, Sampled } from './lib/benchmark-page.mjs' */
/** @import { Step } from './lib/steps.mjs' */

const CONSTRAINTS = at('scripts', 'python-constraints.txt');
const HINT = 'check that the package registry can be reached, then run the command again.';
const PARTS = /** @type {const} */ (['times', 'memory', 'curves', 'sampling', 'pyperformance']);
/** @typedef {typeof PARTS[number]} Part */

/** @type {Step} */
const peers = {
  id: 'peers',
  title: 'Making the environment of the other profilers, .venv-peers',
  inputs: ['benchmarks/peers.txt'],
  outputs: ['.venv-peers/bin/memray', '.venv-peers/bin/fil-profile', '.venv-peers/bin/pyperformance'],
  // Their NumPy and pandas are to be those of .venv.
  facts: () => [findPython(), ...(readFileSync(CONSTRAINTS, 'utf8').match(/^(numpy|pandas)==.*$/gm) ?? [])],
  run: async (log) => {
    rmSync(PEERS, { recursive: true, force: true });
    await run(findPython(), ['-m', 'venv', PEERS], { log });
    const pip = [PEER_PYTHON, '-m', 'pip', 'install'];
    const [command = '', ...args] = [...pip, '-r', at('benchmarks', 'peers.txt'), '-c', CONSTRAINTS];
    await run(command, args, { log, hint: HINT });
  },
};

/** @param {string} name of a table of workloads.py @returns {Promise<string[]>} its names */
async function workloadNames(name) {
  const log = at('build', 'logs', 'bench-workloads.log');
  rmSync(log, { force: true });
  const program = `import json, sys; sys.path.insert(0, "benchmarks"); import workloads; print(json.dumps(list(workloads.${name})))`;
  await run(PYTHON, ['-c', program], { log });
  return JSON.parse(readFileSync(log, 'utf8').trim().split('\n').at(-1) ?? '[]');
}

/** Shows how far it is. @param {number} all @returns {() => void} to be called at each step */
function progress(all) {
  let done = 0;
  return () => {
    done += 1;
    if (process.stdout.isTTY) {
      process.stdout.write(done === all ? `\r${' '.repeat(30)}\r` : `\r${done} of ${all}`);
    }
  };
}

/** @typedef {{ rounds: number | undefined, only: string | undefined, python: string | undefined }} Options */

/**
 * @param {'time' | 'memory'} kind @param {readonly string[]} names @param {{ rounds: number, peerRounds: number }} rounds
 * @param {readonly Mode[]} [modes]
 * @returns {Promise<Record<string, Row>>}
 */
async function table(kind, names, { rounds, peerRounds }, modes = MODES) {
  const onMeasured = progress(
    names.length * modes.reduce((sum, mode) => sum + (isPeer(mode) ? peerRounds : rounds), 0),
  );
  const prefix = `${kind}:`;
  const rows = await measureAll(
    names.map((name) => prefix + name),
    { modes, rounds, peerRounds, onMeasured },
  );
  return Object.fromEntries([...rows].map(([name, row]) => [name.slice(prefix.length), row]));
}

/** @param {string | undefined} only @returns {Promise<string[]>} names of workloads, or those that contain `only` */
async function chosenWorkloads(only) {
  const names = (await workloadNames('WORKLOADS')).filter((name) => only === undefined || name.includes(only));
  if (names.length === 0) {
    throw new Failure(`No workload's name contains "${only}". They are in benchmarks/workloads.py.`);
  }
  return names;
}

/** @param {Options} options @returns {Promise<Measured>} */
async function times({ rounds = 9, only }) {
  const names = await chosenWorkloads(only);
  const both = { rounds, peerRounds: Math.ceil(rounds / 3) };
  return { ...both, rows: await table('time', names, both) };
}

/** @param {Options} options @returns {Promise<Measured>} */
async function memory({ rounds = 3 }) {
  const both = { rounds, peerRounds: rounds };
  return { ...both, rows: await table('memory', await workloadNames('IN_MEMORY'), both) };
}

/** @param {Options} options @returns {Promise<Sampled>} */
async function sampling({ rounds = 11, only }) {
  const both = { rounds, peerRounds: 0 };
  return {
    ...both,
    rows: await table('time', await chosenWorkloads(only), both, SAMPLED_MODES),
    memory: await table('memory', await workloadNames('IN_MEMORY'), { rounds: 3, peerRounds: 0 }, SAMPLED_MODES),
  };
}

/** What is counted, at which points. */
const POINTS = /** @type {const} */ ({
  events: [1e3, 1e4, 1e5, 1e6, 1e7, 1e8],
  sites: [10, 100, 1e3, 1e4, 1e5, 1e6],
  threads_with_gil: [1, 2, 4, 8],
  threads_without_gil: [1, 2, 4, 8],
});

/** @param {Options} options @returns {Promise<Curves>} */
async function curves({ rounds = 5, python }) {
  const onMeasured = progress(rounds * 2 * Object.values(POINTS).flat().length);
  /** @type {Curves['curves']} */
  const measured = {};
  for (const [curve, counts] of Object.entries(POINTS)) {
    const points = counts.map((count) => ({ count, plain: Infinity, on: Infinity }));
    for (let round = 0; round < rounds; round += 1) {
      for (const point of points) {
        for (const mode of /** @type {const} */ (['plain', 'on'])) {
          point[mode] = Math.min(point[mode], await measurePoint(mode, curve, point.count, python));
          onMeasured();
        }
      }
    }
    measured[curve] = points;
  }
  return { rounds, curves: measured };
}

/** Of pyperformance's benchmarks those that need neither packages nor processes of their own. */
const PYPERFORMANCE =
  'argparse async_generators barnes_hut base64 bpe_tokeniser chaos comprehensions coroutines decimal_factorial decimal_pi ' +
  'deepcopy deltablue fannkuch float gc_collect gc_traversal generators go hexiom json_dumps json_loads logging mdp meteor_contest nbody ' +
  'nqueens pathlib pickle pidigits pprint pyflate raytrace regex_compile regex_dna regex_effbot regex_v8 richards richards_super scimark ' +
  'spectral_norm sqlite_synth telco typing_runtime_protocols unpack_sequence xml_etree';

/** @param {Options} options @returns {Promise<Measured>} */
async function pyperformance({ rounds = 3, only }) {
  const root = path.join(PEERS, 'lib');
  const data = readdirSync(root).map((version) =>
    path.join(root, version, 'site-packages', 'pyperformance', 'data-files', 'benchmarks'),
  )[0];
  const modes = /** @type {const} */ (['plain', 'off', 'on']);
  /** @type {Record<string, Row>} */
  const rows = {};
  for (const name of PYPERFORMANCE.split(' ').filter((each) => only === undefined || each.includes(only))) {
    const file = path.join(data ?? '', `bm_${name}`, 'run_benchmark.py');
    if (!existsSync(file)) {
      throw new Failure(`This pyperformance has no ${name}: ${file} does not exist.`);
    }
    // So many loops that a run takes some tenths of a second.
    let loops = 1;
    let seconds = (await measure('plain', `pyperformance:${file}:${loops}`, PEER_PYTHON)).seconds;
    while (seconds < 0.15 && loops < 1 << 20) {
      loops = Math.ceil(loops * Math.min(16, 0.25 / Math.max(seconds, 1e-3)));
      seconds = (await measure('plain', `pyperformance:${file}:${loops}`, PEER_PYTHON)).seconds;
    }
    const workload = `pyperformance:${file}:${loops}`;
    const options = { modes, rounds, peerRounds: 0, python: PEER_PYTHON, onMeasured: () => {} };
    rows[name] = (await measureAll([workload], options)).get(workload) ?? {};
    console.log(`${name} ${((rows[name].on?.seconds ?? 0) / (rows[name].plain?.seconds ?? 1)).toFixed(2)}`);
  }
  return { rounds, peerRounds: 0, rows };
}

/** @type {Readonly<Record<Part, (options: Options) => Promise<Measured | Curves>>>} */
const MEASURE = { times, memory, curves, sampling, pyperformance };

/** @param {Part} part */
const resultFile = (part) => at('output', `bench-${part}.json`);

await script(async () => {
  const { values, positionals: names } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: {
      only: { type: 'string' },
      rounds: { type: 'string' },
      python: { type: 'string' },
      quick: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      page: { type: 'boolean', default: false },
    },
  });
  const rounds = values.quick ? 1 : values.rounds === undefined ? undefined : Math.max(1, Number(values.rounds));
  const unknown = names.filter((name) => name !== 'all' && !PARTS.some((part) => part === name));
  if (unknown.length > 0) {
    throw new Failure(`There is no part called ${unknown.join(', ')}. There are ${PARTS.join(', ')}; or all.`);
  }
  if (
    values.python !== undefined &&
    (values.write || !names.every((name) => name === 'curves') || names.length === 0)
  ) {
    throw new Failure('--python PATH shows the curves of another Python: use it with `curves`, and without --write.');
  }
  const chosen = PARTS.filter((part) =>
    names.length === 0 ? part === 'times' || part === 'memory' : names.includes(part) || names.includes('all'),
  );
  await setUp();
  await performAll([peers]);
  mkdirSync(at('output'), { recursive: true });
  for (const part of values.page ? [] : chosen) {
    console.log(`Measuring ${part}, with ${loadavg()[0]?.toFixed(1)} other processes on ${cpus().length} cores ...`);
    const started = performance.now();
    const measured = await MEASURE[part]({ rounds, only: values.only, python: values.python });
    const machine = { processor: cpus()[0]?.model.trim() ?? '', cores: cpus().length };
    const result = { measuredAt: new Date().toISOString(), machine, ...measured };
    if (values.python !== undefined) {
      console.log(curvesTable(/** @type {Curves} */ (measured).curves));
      return;
    }
    writeFileSync(resultFile(part), `${JSON.stringify(result, null, 2)}\n`);
    console.log(`${((performance.now() - started) / 1000).toFixed(0)} s; figures in ${shown(resultFile(part))}.\n`);
  }

  /** @type {Results} */
  const results = Object.fromEntries(
    PARTS.filter((part) => existsSync(resultFile(part))).map((part) => [
      part,
      JSON.parse(readFileSync(resultFile(part), 'utf8')),
    ]),
  );
  for (const part of chosen) {
    if (part === 'curves' && results.curves !== undefined) {
      console.log(curvesTable(results.curves.curves));
    } else if (part === 'memory' && results.memory !== undefined) {
      console.log(`${memoryTable(results.memory.rows)}\n`);
    } else if (part !== 'curves' && part !== 'memory' && results[part] !== undefined) {
      console.log(`${timesTable(results[part].rows)}\n`);
      if (part === 'sampling' && results.sampling !== undefined) {
        console.log(`${memoryTable(results.sampling.memory)}\n`);
      }
    }
  }
  if (values.write) {
    if (results.curves !== undefined) {
      const log = at('build', 'logs', 'bench-plot.log');
      await run(PEER_PYTHON, [at('benchmarks', 'plot.py'), resultFile('curves'), at('docs', 'images')], { log });
    }
    const file = at('docs', 'benchmarks.md');
    writeFileSync(file, page(results) + otherParts(readFileSync(file, 'utf8')));
    console.log(`Written to ${shown(at('docs', 'benchmarks.md'))}.`);
  }
});
