/**
 * Test suites that others wrote, run as `fil-profile run -m ...` and, beside it, as `python -m ...`: what passes plainly has to pass
 * under tracking. CPython's own (`python -m test`), NumPy's and pandas'.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LOGS, PYTHON, RESULTS, VENV, shown } from './paths.mjs';
import { Failure, run } from './process.mjs';
import { junitTests } from './results.mjs';

/** @import { Counts, Outcome } from './results.mjs' */

/** @typedef {'plain' | 'tracked'} Side */

/**
 * @typedef {object} ForeignSuite
 * @property {string} name
 * @property {readonly string[]} quick arguments that choose its part in `npm test`
 * @property {readonly string[]} all arguments that choose everything
 * @property {(result: string, chosen: readonly string[]) => string[]} command what follows `python`
 * @property {(id: string) => string} moduleOf the argument that chooses the module of `module::test`
 */

/** CPython's tests of what a tracker could disturb, those that take a second or two. */
const CPYTHON_QUICK = (
  'array asyncgen atexit buffer builtin bytes call class code contextlib context copy coroutines dataclasses deque descr dict ' +
  'exception_group except_star exceptions finalization fork1 frame functools funcattrs gc generators genexps heapq inspect itertools ' +
  'json list listcomps marshal memoryview metaclass mmap named_expressions patma print property re scope set ' +
  'super sys_setprofile sys_settrace thread threading_local threadsignals trace traceback tracemalloc weakref with yield_from'
).split(' ');

/**
 * Not even by `npm run test:foreign`, each with its reason.
 *
 * @type {Readonly<Record<string, string>>}
 */
const CPYTHON_LEFT_OUT = {
  test_gdb: 'drives gdb',
  test_tools: 'tests scripts of the source tree',
  test_idle: 'needs a display',
  test_tkinter: 'needs a display',
  test_ttk: 'needs a display',
  test_peg_generator: 'builds C extensions for minutes',
};

/** Only results count here, not warnings, nor the settings of this repository's own tests. */
const PYTEST = ['-m', 'pytest', '-q', '--color=no', '-c', '/dev/null', '-p', 'no:cacheprovider', '-W', 'ignore'];

/** @param {string} id `package.module.Class::test` */
const moduleOfPytest = (id) => /^[\w.]+?(?=(\.[A-Z]\w*)?::)/.exec(id)?.[0] ?? id;

/** @type {readonly ForeignSuite[]} */
const FOREIGN_SUITES = [
  {
    name: 'CPython',
    quick: CPYTHON_QUICK.map((name) => `test_${name}`),
    all: ['-x', ...Object.keys(CPYTHON_LEFT_OUT)],
    moduleOf: (id) => /\btest_\w+/.exec(id)?.[0] ?? id,
    command: (result, chosen) => ['-m', 'test', '--timeout', '600', '--junit-xml', result, ...chosen],
  },
  {
    name: 'NumPy',
    quick: ['indexing', 'item_selection', 'records', 'array_coercion', 'mem_policy', 'arrayprint'].map(
      (name) => `numpy._core.tests.test_${name}`,
    ),
    all: ['numpy'],
    moduleOf: moduleOfPytest,
    command: (result, chosen) => [...PYTEST, '-m', 'not slow', `--junitxml=${result}`, '--pyargs', ...chosen],
  },
  {
    name: 'pandas',
    quick: ['reshape.merge.test_merge', 'copy_view.test_methods', 'frame.methods.test_astype'].map(
      (name) => `pandas.tests.${name}`,
    ),
    all: ['pandas'],
    moduleOf: moduleOfPytest,
    command: (result, chosen) => [
      ...PYTEST,
      ...['-m', 'not slow and not network and not db and not single_cpu', `--junitxml=${result}`],
      ...['--pyargs', ...chosen],
    ],
  },
];

/**
 * @param {ForeignSuite} suite @param {Side} side @param {readonly string[]} chosen @param {number} timeoutSeconds
 * @returns {Promise<{ tests: Map<string, Outcome>, status: number }>} outcomes by `module::test`
 */
async function outcomes(suite, side, chosen, timeoutSeconds) {
  const name = `foreign-${suite.name}-${side}`;
  const result = path.join(RESULTS, `${name}.xml`);
  const log = path.join(LOGS, `${name}.log`);
  mkdirSync(RESULTS, { recursive: true });
  rmSync(result, { force: true });
  rmSync(log, { force: true });
  // Its own directory: some of these tests write where they are run.
  const cwd = mkdtempSync(path.join(tmpdir(), 'fil-foreign-'));
  try {
    const [command, ...before] =
      side === 'plain' ? [PYTHON] : [path.join(VENV, 'bin', 'fil-profile'), '--no-browser', '-o', cwd, 'run'];
    const status = await run(command ?? '', [...before, ...suite.command(result, chosen)], {
      log,
      cwd,
      env: { TMPDIR: cwd, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' },
      allowFailure: true,
      timeoutSeconds,
    });
    if (!existsSync(result)) {
      throw new Failure(`${suite.name}'s tests (${side}) ended with status ${status} and no result: ${shown(log)}`);
    }
    const tests = junitTests(readFileSync(result, 'utf8'));
    return { tests: new Map(tests.map((test) => [`${test.file}::${test.name}`, test.outcome])), status };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

/**
 * Runs a suite on both sides at once and compares.
 *
 * @param {ForeignSuite} suite @param {boolean} all @returns {Promise<Counts>}
 */
async function compare(suite, all) {
  const chosen = all ? suite.all : suite.quick;
  const limit = all ? 7200 : 900;
  const started = performance.now();
  const [plain, tracked] = await Promise.all([
    outcomes(suite, 'plain', chosen, limit),
    outcomes(suite, 'tracked', chosen, limit),
  ]);
  const expected = [...plain.tests].filter(([, outcome]) => outcome === 'passed').map(([id]) => id);
  let missed = expected.filter((id) => tracked.tests.get(id) !== 'passed');
  if (missed.length > 0) {
    // Some of these tests count seconds: what fails while two runs share two cores has another try, alone.
    const again = await outcomes(suite, 'tracked', [...new Set(missed.map(suite.moduleOf))], limit);
    missed = missed.filter((id) => again.tests.get(id) !== 'passed');
  }
  const both = [...plain.tests].filter(([id, outcome]) => outcome === 'failed' && tracked.tests.get(id) === 'failed');
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(
    `${suite.name}: of ${expected.length} tests that pass plainly, ${expected.length - missed.length} pass under tracking` +
      `${both.length > 0 ? `; ${both.length} fail in both` : ''} (${seconds} s).`,
  );
  return {
    passed: expected.length - missed.length,
    failed: missed.length,
    failures: missed.map((id) => `${suite.name}: ${id} passes plainly`),
  };
}

/**
 * Compares all suites and prints where they differ.
 *
 * @param {{ all: boolean, only?: string }} options `all`: not just the part of `npm test`; `only`: the suite of this name.
 * @returns {Promise<Counts>} of the tests that pass plainly: how many pass under tracking.
 */
export async function compareForeign({ all, only }) {
  const suites = FOREIGN_SUITES.filter(({ name }) => only === undefined || name.toLowerCase() === only.toLowerCase());
  if (suites.length === 0) {
    throw new Failure(`There is no suite ${only}. There are ${FOREIGN_SUITES.map(({ name }) => name).join(', ')}.`);
  }
  /** @type {Counts[]} */
  const counts = [];
  for (const suite of suites) {
    counts.push(await compare(suite, all));
  }
  return {
    passed: counts.reduce((sum, each) => sum + each.passed, 0),
    failed: counts.reduce((sum, each) => sum + each.failed, 0),
    failures: counts.flatMap((each) => each.failures),
  };
}
