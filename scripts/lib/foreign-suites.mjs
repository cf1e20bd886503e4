/** The test suites that others wrote: CPython's own (`python -m test`), NumPy's and pandas', and what they consist of. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { PYTHON } from './paths.mjs';
import { Failure } from './process.mjs';

/**
 * @typedef {object} ForeignSuite
 * @property {string} name
 * @property {readonly string[]} quick modules of its part in `npm test`
 * @property {() => string[]} modules all, in the order in which they run
 * @property {number} atOnce how many modules of `modules` one process runs: minutes, so that a crash takes little with it
 * @property {(result: string, modules: readonly string[]) => string[]} command what follows `python`; JUnit XML is written into `result`
 * @property {(id: string) => string} moduleOf the module of `module::test`
 * @property {Readonly<Record<string, string>>} mayDiffer tests that may pass plainly only, each with its reason
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

/** @param {readonly string[]} args of Python @returns {string} what it prints */
function printedBy(...args) {
  const { status, stdout, stderr } = spawnSync(PYTHON, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (status !== 0) {
    throw new Failure(`python ${args.join(' ')} ended with status ${status}: ${stderr.trim()}. Run \`npm run setup\`.`);
  }
  return stdout;
}

/** @returns {string[]} modules of CPython's own tests */
const cpythonModules = () =>
  printedBy('-m', 'test', '--list-tests')
    .split('\n')
    .filter((name) => name !== '' && !name.split('.').some((part) => part in CPYTHON_LEFT_OUT));

/** @param {string} name of an installed package @returns {string[]} its modules with tests */
function testModulesOf(name) {
  const found = printedBy(
    '-c',
    `import importlib.util as u; print(u.find_spec("${name}").submodule_search_locations[0])`,
  );
  const site = path.dirname(found.trim());
  return readdirSync(path.join(site, name), { recursive: true, encoding: 'utf8' })
    .filter((file) => /(^|\/)tests\/(.*\/)?test_\w+\.py$/.test(file))
    .map((file) => [name, ...file.slice(0, -'.py'.length).split('/')].join('.'))
    .sort();
}

/** @type {readonly ForeignSuite[]} */
export const FOREIGN_SUITES = [
  {
    name: 'CPython',
    quick: CPYTHON_QUICK.map((name) => `test_${name}`),
    modules: cpythonModules,
    atOnce: 30,
    moduleOf: (id) => /\btest_\w+/.exec(id)?.[0] ?? id,
    mayDiffer: {
      '::test.test_sys.SysModuleTest.test_debugmallocstats':
        "wants pymalloc's statistics, which CPython prints only while nobody stands before pymalloc",
    },
    // VSOCK's tests have a fixed port: two runs at a time wait for each other.
    command: (result, modules) => [
      ...['-m', 'test', '--timeout', '600', '-i', '*VSOCK*', '--junit-xml', result],
      ...modules,
    ],
  },
  {
    name: 'NumPy',
    quick: ['indexing', 'item_selection', 'records', 'array_coercion', 'mem_policy', 'arrayprint'].map(
      (name) => `numpy._core.tests.test_${name}`,
    ),
    modules: () => testModulesOf('numpy'),
    atOnce: 40,
    moduleOf: moduleOfPytest,
    mayDiffer: {},
    command: (result, modules) => [...PYTEST, '-m', 'not slow', `--junitxml=${result}`, '--pyargs', ...modules],
  },
  {
    name: 'pandas',
    quick: ['reshape.merge.test_merge', 'copy_view.test_methods', 'frame.methods.test_astype'].map(
      (name) => `pandas.tests.${name}`,
    ),
    modules: () => testModulesOf('pandas'),
    atOnce: 80,
    moduleOf: moduleOfPytest,
    mayDiffer: {},
    command: (result, modules) => [
      ...PYTEST,
      ...['-m', 'not slow and not network and not db and not single_cpu', `--junitxml=${result}`],
      ...['--pyargs', ...modules],
    ],
  },
];
