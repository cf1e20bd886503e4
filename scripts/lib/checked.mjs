/**
 * The checked build of the tracker (native/tracker/checks): every invariant is checked, every fallible step can be made to fail. All
 * tests of the tracker and of the kernel run with it a second time. It is never shipped, so it stands in a folder of its own.
 */
import { copyFileSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { BUNDLE, at } from './paths.mjs';
import { run } from './process.mjs';
import { cmakeTool } from './setup-steps.mjs';
import { performAll } from './steps.mjs';
import { hasFortran, hasGoogleTest } from './system-needs.mjs';

/** @import { Step } from './steps.mjs' */

/** Where the build's own tests are, also with sanitizers. */
export const CHECKED_BUILD = at('build', 'native-checked');
/** On PYTHONPATH it stands before the checkout's package. */
export const CHECKED_ROOT = at('build', 'checked');
export const CHECKED_BUNDLE = path.join(CHECKED_ROOT, 'filprofiler', '_bundle');

/** What is left out of the second run of the kernel's tests, each with its reason. @type {Readonly<Record<string, string>>} */
const LEFT_OUT = {
  'kernel/e2e/test_clients.py::test_the_process_looks_like_one_of_ipykernel_launcher':
    'looks at sys.path[0], where PYTHONPATH has put the checked package',
};
export const deselected = Object.keys(LEFT_OUT).flatMap((test) => ['--deselect', test]);

/** @type {Step} */
const step = {
  id: 'native-checked',
  title: 'Building the checked tracker, and its core with sanitizers (C++)',
  inputs: ['native', 'node_modules/node-addon-api/package.json'],
  outputs: ['libfil_tracker.so', 'filprofiler.node'].map((name) =>
    path.relative(at(), path.join(CHECKED_BUNDLE, name)),
  ),
  facts: () => [process.arch, String(hasGoogleTest()), String(hasFortran())],
  run: async (log) => {
    const options = ['-DCMAKE_BUILD_TYPE=Release', '-DFIL_CHECKED=ON', `-DFIL_BUNDLE_DIR=${CHECKED_BUNDLE}`];
    const cmake = cmakeTool('cmake');
    const hint = 'read the first error in the log.';
    await run(cmake, ['-S', at('native'), '-B', CHECKED_BUILD, ...options], { log, hint });
    await run(cmake, ['--build', CHECKED_BUILD, '--parallel', String(cpus().length)], { log, hint });
  },
};

/** @type {Promise<void> | undefined} */
let built;

/** Builds what has changed, once: suites that run at the same time share it. */
export const buildChecked = () => (built ??= performAll([step]));

/**
 * Makes the package whose kernel preloads the checked tracker: a copy of the checkout's, but for the native files.
 *
 * @returns {Record<string, string>} the environment in which Python imports it
 */
export function checkedPackage() {
  copyFiles(at('filprofiler'), path.dirname(CHECKED_BUNDLE));
  copyFiles(BUNDLE, CHECKED_BUNDLE, ['libfil_tracker.so', 'filprofiler.node']);
  return { PYTHONPATH: CHECKED_ROOT, TRACKER_TEST_BUNDLE: CHECKED_BUNDLE };
}

/** @param {string} from @param {string} to @param {readonly string[]} [except] */
function copyFiles(from, to, except = []) {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) {
    if (!except.includes(name) && statSync(path.join(from, name)).isFile()) {
      copyFileSync(path.join(from, name), path.join(to, name));
    }
  }
}
