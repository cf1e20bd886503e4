/**
 * ipykernel's own tests, unchanged, against our kernel and, beside it, against plain ipykernel: what passes there has to pass here.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { LOGS, PYTHON, RESULTS, VENV, at, shown } from './paths.mjs';
import { Failure, run } from './process.mjs';
import { junitTests } from './results.mjs';
import { performAll } from './steps.mjs';

/** @import { Counts, Outcome } from './results.mjs' */
/** @import { Step } from './steps.mjs' */

const SOURCES = at('build', 'ipykernel-tests');

/** @typedef {'plain' | 'ours'} Side */
/** Names of the kernels of .venv. @type {Readonly<Record<Side, string>>} */
const KERNELS = { plain: 'python3', ours: 'filprofile' };

/**
 * What may differ, each with its reason.
 *
 * @type {Readonly<Record<string, string>>}
 */
const EXCEPTIONS = {
  'tests.test_kernel::test_parent_header_and_ident':
    'looks at the private routing identities of a message, which has one more hop here',
};

/** Version of the ipykernel of .venv: its tests are those of the same version. */
function installedVersion() {
  const program = 'import importlib.metadata as m; print(m.version("ipykernel"))';
  const version = spawnSync(PYTHON, ['-c', program], { encoding: 'utf8' }).stdout.trim();
  if (version === '') {
    throw new Failure(`${PYTHON} has no ipykernel. Run \`npm run setup\`.`);
  }
  return version;
}

/** @type {Step} */
const fetchTests = {
  id: 'ipykernel-tests',
  title: "Fetching ipykernel's own tests",
  inputs: ['scripts/lib/conformance.mjs'],
  outputs: ['build/ipykernel-tests/tests/test_kernel.py'],
  facts: () => [installedVersion()],
  run: async (log) => {
    rmSync(SOURCES, { recursive: true, force: true });
    mkdirSync(SOURCES, { recursive: true });
    const download = ['download', '--no-deps', '--no-build-isolation', '--no-binary', 'ipykernel', '--dest', SOURCES];
    await run(PYTHON, ['-m', 'pip', ...download, `ipykernel==${installedVersion()}`], {
      log,
      hint: 'check that the package registry can be reached, then run the command again.',
    });
    const archive = readdirSync(SOURCES).find((name) => name.endsWith('.tar.gz')) ?? '';
    await run('tar', ['-xzf', path.join(SOURCES, archive), '-C', SOURCES, '--strip-components=1'], { log });
    // They are to meet the ipykernel of .venv, not the one that came beside them.
    rmSync(path.join(SOURCES, 'ipykernel'), { recursive: true, force: true });
  },
};

/**
 * The test files in parts that run at the same time: mostly they wait. `kernels` are those that talk to a kernel of the
 * specification that they find, `inside` those that test ipykernel's parts within their own process, whatever the kernel is.
 *
 * @returns {{ kernels: string[][], inside: string[][] }}
 */
function testFiles() {
  /** @type {[string[], string[]]} */
  const kernels = [[], []];
  /** @type {string[]} */
  const inside = ['tests/inprocess'];
  for (const name of readdirSync(path.join(SOURCES, 'tests')).sort()) {
    if (/^test_.*\.py$/.test(name)) {
      const text = readFileSync(path.join(SOURCES, 'tests', name), 'utf8');
      const talks = /^from \.(utils|test_message_spec) import/m.test(text);
      // The two that take longest apart.
      (talks ? kernels[name === 'test_kernel.py' || name === 'test_message_spec.py' ? 0 : 1] : inside).push(
        `tests/${name}`,
      );
    }
  }
  return { kernels, inside: [inside] };
}

/**
 * Runs tests against one kernel, which stands first on Jupyter's path under the name that they ask for.
 *
 * @param {Side} side @param {string} part for the names of log and result @param {readonly string[]} tests files, or single tests
 * @returns {Promise<Map<string, Outcome>>} by `module::test`
 */
async function outcomes(side, part, tests) {
  const jupyterPath = at('build', 'conformance', side);
  const spec = path.join(jupyterPath, 'kernels', 'python3', 'kernel.json');
  mkdirSync(path.dirname(spec), { recursive: true });
  copyFileSync(path.join(VENV, 'share', 'jupyter', 'kernels', KERNELS[side], 'kernel.json'), spec);
  const result = path.join(RESULTS, `conformance-${side}-${part}.xml`);
  const log = path.join(LOGS, `conformance-${side}-${part}.log`);
  mkdirSync(RESULTS, { recursive: true });
  rmSync(result, { force: true });
  rmSync(log, { force: true });
  // Like ipykernel's own `nowarn`: a warning of a newer Python package is no failure of a kernel.
  const options = ['-W', 'default', '-o', 'asyncio_default_fixture_loop_scope=function', '-p', 'no:cacheprovider'];
  await run(PYTHON, ['-m', 'pytest', '-q', '--color=no', ...options, `--junitxml=${result}`, ...tests], {
    log,
    cwd: SOURCES,
    env: { JUPYTER_PATH: jupyterPath },
    allowFailure: true,
    timeoutSeconds: 600,
  });
  if (!existsSync(result)) {
    throw new Failure(`ipykernel's tests ended without a result. Their output: ${shown(log)}`);
  }
  return new Map(
    junitTests(readFileSync(result, 'utf8')).map(({ file, name, outcome }) => [`${file}::${name}`, outcome]),
  );
}

/** @param {Side} side @param {readonly (readonly string[])[]} parts */
async function allOutcomes(side, parts) {
  const maps = await Promise.all(parts.map((files, index) => outcomes(side, String(index + 1), files)));
  return new Map(maps.flatMap((map) => [...map]));
}

/** pytest's name of `tests.test_kernel::test_x[a]`. @param {string} id */
const selector = (id) =>
  id.replace(
    /^([\w.]+?)((?:\.[A-Z]\w*)?)::/,
    (_, module, type) => `${module.replaceAll('.', '/')}.py::${type === '' ? '' : `${type.slice(1)}::`}`,
  );

/**
 * Compares both kernels and prints where they differ.
 *
 * @param {{ all: boolean }} options `all`: also the tests that need no kernel.
 * @returns {Promise<Counts>} of the tests that pass with plain ipykernel: how many pass here.
 */
export async function compareWithIpykernel({ all }) {
  await performAll([fetchTests]);
  const { kernels, inside } = testFiles();
  const parts = all ? [...kernels, ...inside] : kernels;
  const [plain, ours] = await Promise.all([allOutcomes('plain', parts), allOutcomes('ours', parts)]);
  const expected = [...plain].filter(([, outcome]) => outcome === 'passed').map(([id]) => id);
  let missed = expected.filter((id) => ours.get(id) !== 'passed');
  const suspects = missed.filter((id) => !(id in EXCEPTIONS));
  if (suspects.length > 0) {
    // Some of these tests count seconds: one that fails while four of them share two cores has another try, alone.
    const again = await outcomes('ours', 'again', suspects.map(selector));
    for (const id of suspects.filter((id) => again.get(id) === 'passed')) {
      console.log(`passed at the second try: ${id}`);
    }
    missed = missed.filter((id) => again.get(id) !== 'passed');
  }
  for (const [id, outcome] of plain) {
    if (outcome === 'failed') {
      console.log(`fails with plain ipykernel${ours.get(id) === 'failed' ? ' and here' : ', not here'}: ${id}`);
    }
  }
  for (const id of missed.filter((id) => id in EXCEPTIONS)) {
    console.log(`known to differ: ${id} ${EXCEPTIONS[id]}`);
  }
  const failures = missed.filter((id) => !(id in EXCEPTIONS));
  const passed = expected.length - missed.length;
  console.log(
    `ipykernel ${installedVersion()}: of ${expected.length} tests that pass with plain ipykernel, ${passed} pass here.`,
  );
  return { passed, failed: failures.length, failures: failures.map((id) => `${id} passes with plain ipykernel`) };
}
