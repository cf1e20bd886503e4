/**
 * `npm test [-- SUITE ...]`: sets up, then runs every suite, or those named. Ends with the line `N passed, N failed`; status 1 if
 * anything failed or a suite could not run.
 */
import { existsSync, readFileSync } from 'node:fs';
import { Failure, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';
import { SUITES, logOf } from './lib/suites.mjs';
import { installSystemNeeds } from './lib/system-needs.mjs';

/** @import { Counts } from './lib/results.mjs' */
/** @import { Lane, Suite } from './lib/suites.mjs' */

/**
 * Runs something that may fail with an explanation.
 *
 * @param {() => Promise<Counts>} work
 * @returns {Promise<Counts>} its counts, or one failure.
 */
async function countsOf(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Failure)) {
      throw error;
    }
    return { passed: 0, failed: 1, failures: [error.message] };
  }
}

/** @param {readonly Suite[]} suites @param {(suite: Suite) => Promise<void>} work */
async function inOrder(suites, work) {
  for (const suite of suites) {
    await work(suite);
  }
}

/** @type {Counts} */
const NOTHING = { passed: 0, failed: 0, failures: [] };

await script(async () => {
  const names = process.argv.slice(2);
  const unknown = names.filter((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    throw new Failure(
      `There is no suite called ${unknown.join(', ')}. There are ${SUITES.map(({ name }) => name).join(', ')}.`,
    );
  }
  /** @type {string[]} */
  const lines = [];
  let passed = 0;
  let failed = 0;
  /** @param {string} title @param {() => Promise<Counts>} work */
  const count = async (title, work) => {
    const started = performance.now();
    const counts = await countsOf(work);
    const seconds = (performance.now() - started) / 1000;
    passed += counts.passed;
    failed += counts.failed;
    const figures = `${String(counts.passed).padStart(5)} passed ${String(counts.failed).padStart(3)} failed`;
    lines.push(`${title.padEnd(44)}${figures} ${seconds.toFixed(0).padStart(5)} s`);
    lines.push(...counts.failures.map((failure) => `    failed: ${failure}`));
    return counts.failed === 0;
  };

  const suites = SUITES.filter(({ name }) => names.length === 0 || names.includes(name));
  // Before set-up, as the native build takes GoogleTest in; a suite that misses something says so itself.
  await count('What the machine needs', async () => {
    await installSystemNeeds([...new Set(suites.flatMap((suite) => suite.needs))]);
    return NOTHING;
  });
  const isSetUp = await count('Set-up', async () => {
    await setUp();
    return NOTHING;
  });
  if (isSetUp) {
    /** @param {Suite} suite */
    const runAtOnce = async (suite) => {
      console.log(`\n== ${suite.title}`);
      await count(suite.title, () => suite.run(true));
    };
    /** One whose output is not to be mixed with that of others: it is shown at the end. @param {Suite} suite */
    const runBeside = async (suite) => {
      console.log(`\n== Beside what follows: ${suite.title}`);
      await count(suite.title, () => suite.run(false));
      console.log(
        `\n== ${suite.title}: its output\n${existsSync(logOf(suite.name)) ? readFileSync(logOf(suite.name), 'utf8') : ''}`,
      );
    };
    /** @param {Lane} name */
    const lane = (name) => suites.filter((suite) => suite.lane === name);
    const [main, kernels] = [lane('main'), lane('kernels')];
    await Promise.all([inOrder(main, runAtOnce), inOrder(kernels, main.length === 0 ? runAtOnce : runBeside)]);
    await inOrder(lane('alone'), runAtOnce);
  }
  console.log(`\n${lines.join('\n')}\n\n${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
});
