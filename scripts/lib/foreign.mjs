/**
 * Test suites that others wrote, run as `fil-profile run -m ...` (or `run --sample -m ...`) and, beside it, as `python -m ...`: what
 * passes plainly has to pass under tracking. What does not is run again on both sides, alone, so that a test that only sometimes
 * passes, or not beside another run, is told from one that we break.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FOREIGN_SUITES } from './foreign-suites.mjs';
import { LOGS, PYTHON, RESULTS, VENV, shown } from './paths.mjs';
import { Failure, run } from './process.mjs';
import { junitTests } from './results.mjs';

/** @import { ForeignSuite } from './foreign-suites.mjs' */
/** @import { Counts, Outcome } from './results.mjs' */

/** @typedef {'tracked' | 'sampled'} Mode */
/** @typedef {'plain' | Mode} Side */

/** For one process's part of a suite. */
const LIMIT_SECONDS = 3600;

/**
 * @typedef {object} Compared
 * @property {number} passed tests that pass plainly and under us
 * @property {readonly string[]} failed ids of those that pass plainly only
 * @property {number} unstable tests that passed plainly once and failed so at another time
 * @property {number} failedInBoth
 * @property {number} differing tests that may differ, and do
 */

/** @type {Compared} */
const NOTHING = { passed: 0, failed: [], unstable: 0, failedInBoth: 0, differing: 0 };

/** @param {Compared} a @param {Compared} b @returns {Compared} */
const sum = (a, b) => ({
  passed: a.passed + b.passed,
  failed: [...a.failed, ...b.failed],
  unstable: a.unstable + b.unstable,
  failedInBoth: a.failedInBoth + b.failedInBoth,
  differing: a.differing + b.differing,
});

/** @param {Side} side @param {string} reports directory @returns {readonly [string, ...string[]]} what runs `-m ...` */
function runner(side, reports) {
  if (side === 'plain') {
    return [PYTHON];
  }
  const run = [path.join(VENV, 'bin', 'fil-profile'), '--no-browser', '-o', reports, 'run'];
  return /** @type {[string, ...string[]]} */ (side === 'tracked' ? run : [...run, '--sample']);
}

/**
 * @param {ForeignSuite} suite @param {Side} side @param {readonly string[]} modules
 * @returns {Promise<{ tests: ReadonlyMap<string, Outcome>, status: number } | { died: string }>} outcomes by `module::test`; `died`:
 *   how it ended, if that was before there were any.
 */
async function outcomes(suite, side, modules) {
  const name = `foreign-${suite.name}-${side}`;
  const result = path.join(RESULTS, `${name}.xml`);
  const log = path.join(LOGS, `${name}.log`);
  mkdirSync(RESULTS, { recursive: true });
  rmSync(result, { force: true });
  // Its own directory: some of these tests write where they are run.
  const cwd = mkdtempSync(path.join(tmpdir(), 'fil-foreign-'));
  try {
    const [command, ...before] = runner(side, path.join(cwd, 'reports'));
    const status = await run(command, [...before, ...suite.command(result, modules)], {
      log,
      cwd,
      env: { TMPDIR: cwd, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' },
      allowFailure: true,
      timeoutSeconds: LIMIT_SECONDS,
    });
    if (!existsSync(result)) {
      return { died: `status ${status} (${shown(log)})` };
    }
    const tests = junitTests(readFileSync(result, 'utf8'));
    return { tests: new Map(tests.map((test) => [`${test.file}::${test.name}`, test.outcome])), status };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

/** @param {Awaited<ReturnType<typeof outcomes>>} run @param {string} id */
const passes = (run, id) => !('died' in run) && run.tests.get(id) === 'passed';

/**
 * Runs modules on both sides at once and compares. Where one side dies without results, each half by itself.
 *
 * @param {ForeignSuite} suite @param {Mode} mode @param {readonly string[]} modules @returns {Promise<Compared>}
 */
async function compare(suite, mode, modules) {
  const [plain, tracked] = await Promise.all([outcomes(suite, 'plain', modules), outcomes(suite, mode, modules)]);
  if ('died' in plain || 'died' in tracked) {
    return halved(suite, mode, modules, plain, tracked);
  }
  const expected = [...plain.tests].filter(([, outcome]) => outcome === 'passed').map(([id]) => id);
  const failedInBoth = [...plain.tests].filter(
    ([id, outcome]) => outcome === 'failed' && tracked.tests.get(id) === 'failed',
  ).length;
  const different = expected.filter((id) => !passes(tracked, id));
  let missed = different.filter((id) => !(id in suite.mayDiffer));
  const differing = different.length - missed.length;
  let unstable = 0;
  if (missed.length > 0) {
    // Some of these tests count seconds: what fails while two runs share two cores has another try, alone.
    const those = [...new Set(missed.map(suite.moduleOf))];
    const again = await outcomes(suite, mode, those);
    missed = missed.filter((id) => !passes(again, id));
    if (missed.length > 0) {
      const plainly = await outcomes(suite, 'plain', those);
      const always = missed.filter((id) => passes(plainly, id));
      unstable = missed.length - always.length;
      missed = always;
    }
  }
  const passed = expected.length - missed.length - unstable - differing;
  return { passed, failed: missed, unstable, failedInBoth, differing };
}

/**
 * @param {ForeignSuite} suite @param {Mode} mode @param {readonly string[]} modules
 * @param {Awaited<ReturnType<typeof outcomes>>} plain @param {Awaited<ReturnType<typeof outcomes>>} tracked
 * @returns {Promise<Compared>}
 */
async function halved(suite, mode, modules, plain, tracked) {
  const [only = '', ...others] = modules;
  if (others.length > 0) {
    const half = Math.ceil(modules.length / 2);
    const first = await compare(suite, mode, modules.slice(0, half));
    return sum(first, await compare(suite, mode, modules.slice(half)));
  }
  return 'died' in plain
    ? { ...NOTHING, failedInBoth: 1 }
    : { ...NOTHING, failed: [`${only}::it ends with ${'died' in tracked ? tracked.died : ''}`] };
}

/** @param {readonly string[]} all @param {number} size @returns {string[][]} in groups of `size` */
const inGroups = (all, size) =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, index) => all.slice(index * size, (index + 1) * size));

/** @param {Mode} mode @param {Compared} compared @param {number} started milliseconds of performance.now() */
function sentence(mode, { passed, failed, unstable, failedInBoth, differing }, started) {
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  const others = [
    ...(failedInBoth > 0 ? [`${failedInBoth} fail in both`] : []),
    ...(unstable > 0 ? [`${unstable} pass plainly only sometimes`] : []),
    ...(differing > 0 ? [`${differing} may differ`] : []),
  ];
  return (
    `of ${passed + failed.length} tests that pass plainly, ${passed} pass ${mode === 'tracked' ? 'under tracking' : 'sampled'}` +
    `${others.map((each) => `; ${each}`).join('')} (${seconds} s).`
  );
}

/**
 * Compares suites and prints where they differ.
 *
 * @param {object} options
 * @param {boolean} options.all not just the part of `npm test`
 * @param {Mode} [options.mode]
 * @param {string} [options.only] the suite of this name
 * @param {number} [options.from] with `all`: the group of modules to begin with, counted from 1, as the output counts them
 * @param {number} [options.to] and the last one
 * @returns {Promise<Counts>} of the tests that pass plainly: how many pass under us.
 */
export async function compareForeign({ all, mode = 'tracked', only, from = 1, to = Infinity }) {
  const suites = FOREIGN_SUITES.filter(({ name }) => only === undefined || name.toLowerCase() === only.toLowerCase());
  if (suites.length === 0) {
    throw new Failure(`There is no suite ${only}. There are ${FOREIGN_SUITES.map(({ name }) => name).join(', ')}.`);
  }
  let passed = 0;
  /** @type {string[]} */
  const failures = [];
  for (const suite of suites) {
    const started = performance.now();
    for (const side of ['plain', mode]) {
      rmSync(path.join(LOGS, `foreign-${suite.name}-${side}.log`), { force: true });
    }
    const groups = all ? inGroups(suite.modules(), suite.atOnce) : [suite.quick];
    let whole = NOTHING;
    for (const [index, group] of groups.entries()) {
      if (index + 1 < from || index + 1 > to) {
        continue;
      }
      const began = performance.now();
      const compared = await compare(suite, mode, group);
      whole = sum(whole, compared);
      if (all) {
        const span = `${group[0]} to ${group.at(-1)}`;
        console.log(`  ${suite.name} ${index + 1} of ${groups.length}, ${span}: ${sentence(mode, compared, began)}`);
        compared.failed.forEach((id) => console.log(`    failed: ${id}`));
      }
    }
    console.log(`${suite.name}: ${sentence(mode, whole, started)}`);
    passed += whole.passed;
    failures.push(...whole.failed.map((id) => `${suite.name}: ${id} passes plainly`));
  }
  return { passed, failed: failures.length, failures };
}
