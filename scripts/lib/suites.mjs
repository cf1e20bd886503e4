/** The test suites of `npm test`, in the order in which they start: quick ones first. */
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { auditNpm, auditPython } from './audit.mjs';
import { CHECKED_BUILD, CHECKED_BUNDLE, buildChecked, checkedPackage, deselected } from './checked.mjs';
import { compareForeign } from './foreign.mjs';
import { CHECKS } from './checks.mjs';
import { compareWithIpykernel } from './conformance.mjs';
import { LOGS, NATIVE_BUILD, PYTHON, RESULTS, at } from './paths.mjs';
import { run } from './process.mjs';
import { countFile, countJunit, countPlaywright, countVitest } from './results.mjs';
import { cmakeTool } from './setup-steps.mjs';
import { findChromium } from './system-needs.mjs';

/** @import { Counts } from './results.mjs' */
/** @import { NeedName } from './system-needs.mjs' */

/**
 * @typedef {object} Suite
 * @property {string} name by which it is chosen: `npm test -- unit`.
 * @property {string} title
 * @property {readonly NeedName[]} needs of the machine; installed before set-up, which may build with them.
 * @property {Lane} lane
 * @property {(echo: boolean) => Promise<Counts>} run `echo`: shows the output as it comes, beside keeping it in a log.
 */

/**
 * Where a suite runs: those of `kernels` wait more than they compute, so they run one after the other while those of `main` do;
 * those of `alone` measure time, or change the checkout, and come when both are done.
 *
 * @typedef {'main' | 'kernels' | 'alone'} Lane
 */

/** The log of a suite. @param {string} name */
export const logOf = (name) => path.join(LOGS, `test-${name}.log`);

/**
 * Runs a test runner that leaves a result file.
 *
 * @param {boolean} echo
 * @param {string} name of the suite
 * @param {string} resultFile
 * @param {(text: string) => Counts} count
 * @param {string} command
 * @param {readonly string[]} args
 * @param {Record<string, string>} [env]
 */
async function runner(echo, name, resultFile, count, command, args, env) {
  const file = path.join(RESULTS, resultFile);
  mkdirSync(RESULTS, { recursive: true });
  rmSync(file, { force: true });
  rmSync(logOf(name), { force: true });
  const status = await run(command, args, {
    log: logOf(name),
    echo,
    allowFailure: true,
    ...(env === undefined ? {} : { env }),
  });
  return countFile(file, count, status);
}

/** @param {boolean} echo @param {string} name @param {readonly string[]} args @param {Record<string, string>} [env] */
const pytest = (echo, name, args, env) =>
  runner(
    echo,
    name,
    `${name}.xml`,
    countJunit,
    PYTHON,
    ['-m', 'pytest', '-q', `--junitxml=${path.join(RESULTS, `${name}.xml`)}`, ...args],
    env,
  );

/** @param {boolean} echo @param {string} name @param {string} build its directory */
const ctest = (echo, name, build) =>
  runner(echo, name, `${name}.xml`, countJunit, cmakeTool('ctest'), [
    '--test-dir',
    build,
    '--output-on-failure',
    '--timeout',
    '600',
    '--output-junit',
    path.join(RESULTS, `${name}.xml`),
  ]);

/** @param {boolean} echo @returns {Promise<Counts>} one test a check */
async function checks(echo) {
  const failures = [];
  for (const check of CHECKS) {
    const [command = '', ...args] = check.command();
    const log = path.join(LOGS, `lint-${check.name.replaceAll(' ', '-')}.log`);
    const status = await run(command, args, { log, echo, allowFailure: true });
    if (status !== 0) {
      failures.push(`${check.name} (\`npm run format\` mends what can be mended)`);
    }
  }
  return { passed: CHECKS.length - failures.length, failed: failures.length, failures };
}

/** @type {readonly Suite[]} */
export const SUITES = [
  { name: 'lint', title: 'Format, lint and type checks', needs: [], lane: 'main', run: checks },
  {
    name: 'unit',
    title: 'Unit tests (vitest)',
    needs: [],
    lane: 'main',
    run: (echo) =>
      runner(echo, 'unit', 'unit.json', (text) => countVitest(JSON.parse(text)), process.execPath, [
        at('node_modules', 'vitest', 'vitest.mjs'),
        'run',
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${path.join(RESULTS, 'unit.json')}`,
      ]),
  },
  {
    name: 'native',
    title: "Tracker's core (ctest)",
    needs: ['googleTest'],
    lane: 'main',
    run: (echo) => ctest(echo, 'native', NATIVE_BUILD),
  },
  {
    name: 'native-checked',
    title: 'The same with every invariant, and sanitizers',
    needs: ['googleTest'],
    lane: 'main',
    run: async (echo) => {
      await buildChecked();
      return ctest(echo, 'native-checked', CHECKED_BUILD);
    },
  },
  {
    name: 'tracker',
    title: 'Programs under the tracker (pytest)',
    needs: ['fortran', 'allocators'],
    lane: 'main',
    run: (echo) => pytest(echo, 'tracker', [at('native', 'test', 'python')]),
  },
  {
    name: 'tracker-checked',
    title: 'The same with every invariant, and failpoints',
    needs: ['fortran', 'allocators'],
    lane: 'main',
    run: async (echo) => {
      await buildChecked();
      return pytest(echo, 'tracker-checked', [at('native', 'test', 'python')], { TRACKER_TEST_BUNDLE: CHECKED_BUNDLE });
    },
  },
  {
    name: 'e2e',
    title: 'Notebooks on the kernel (pytest)',
    needs: [],
    lane: 'kernels',
    run: (echo) => pytest(echo, 'e2e', [at('kernel', 'e2e')]),
  },
  {
    name: 'e2e-checked',
    title: 'The same with every invariant',
    needs: [],
    lane: 'kernels',
    run: async (echo) => {
      await buildChecked();
      return pytest(echo, 'e2e-checked', [at('kernel', 'e2e'), ...deselected], checkedPackage());
    },
  },
  {
    name: 'conformance',
    title: "ipykernel's own tests, beside plain ipykernel",
    needs: [],
    lane: 'main',
    run: () => compareWithIpykernel({ all: false }),
  },
  {
    name: 'foreign',
    title: "A part of CPython's, NumPy's and pandas' own tests",
    needs: [],
    lane: 'main',
    run: () => compareForeign({ all: false }),
  },
  {
    name: 'ui',
    title: 'Browser (Playwright)',
    needs: ['chromium', 'fonts'],
    lane: 'alone',
    run: (echo) =>
      runner(
        echo,
        'ui',
        'ui.json',
        (text) => countPlaywright(JSON.parse(text)),
        process.execPath,
        [
          at('node_modules', '@playwright', 'test', 'cli.js'),
          'test',
          '--config',
          at('ui-tests', 'playwright.config.ts'),
          '--reporter=list,json',
        ],
        { PLAYWRIGHT_JSON_OUTPUT_NAME: path.join(RESULTS, 'ui.json'), FIL_CHROMIUM: findChromium() ?? '' },
      ),
  },
  {
    name: 'package',
    title: 'Wheel (pytest)',
    needs: [],
    lane: 'alone',
    run: (echo) => pytest(echo, 'package', [at('scripts', 'test')]),
  },
  {
    name: 'audit',
    title: 'Known vulnerabilities of what is shipped',
    needs: [],
    lane: 'main',
    run: async () => {
      const outcomes = [await auditNpm(), await auditPython()];
      const failures = outcomes.flatMap((outcome) => outcome.advisories);
      for (const outcome of outcomes) {
        console.log(outcome.summary);
      }
      return {
        passed: outcomes.filter((outcome) => outcome.answered && outcome.advisories.length === 0).length,
        failed: failures.length,
        failures,
      };
    },
  },
];
