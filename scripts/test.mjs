/**
 * `npm test [-- SUITE ...]`: sets up, then runs every suite, or those named. Ends with the line `N passed, N failed`; status 1 if
 * anything failed or a suite could not run.
 */
import { Failure, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';
import { SUITES } from './lib/suites.mjs';
import { installSystemNeeds } from './lib/system-needs.mjs';

/** @import { Counts } from './lib/results.mjs' */

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
    for (const suite of suites) {
      console.log(`\n== ${suite.title}`);
      await count(suite.title, suite.run);
    }
  }
  console.log(`\n${lines.join('\n')}\n\n${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
});
