/**
 * `npm test [-- SUITE ...]`: sets up, then runs every suite, or those named. Ends with the line `N passed, N failed`; status 1 if
 * anything failed or a suite could not run.
 */
import { Failure, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';
import { SUITES } from './lib/suites.mjs';

/** @import { Counts } from './lib/results.mjs' */
/** @import { Suite } from './lib/suites.mjs' */

/** @param {Suite} suite @returns {Promise<Counts & { seconds: number }>} */
async function outcomeOf(suite) {
  const started = performance.now();
  /** @type {Counts} */
  let counts;
  try {
    counts = await suite.run();
  } catch (error) {
    if (!(error instanceof Failure)) {
      throw error;
    }
    counts = { passed: 0, failed: 1, failures: [error.message] };
  }
  return { ...counts, seconds: (performance.now() - started) / 1000 };
}

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
  try {
    await setUp();
  } catch (error) {
    // Without set-up no suite can run; the count says so to whoever reads only the last line.
    console.error(`\nFailed: ${error instanceof Error ? error.message : error}\n\n0 passed, 1 failed`);
    return 1;
  }
  for (const suite of SUITES.filter(({ name }) => names.length === 0 || names.includes(name))) {
    console.log(`\n== ${suite.title}`);
    const outcome = await outcomeOf(suite);
    passed += outcome.passed;
    failed += outcome.failed;
    const counts = `${String(outcome.passed).padStart(5)} passed ${String(outcome.failed).padStart(3)} failed`;
    lines.push(`${suite.title.padEnd(46)}${counts} ${outcome.seconds.toFixed(0).padStart(5)} s`);
    lines.push(...outcome.failures.map((failure) => `    failed: ${failure}`));
  }
  console.log(`\n${lines.join('\n')}\n\n${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
});
