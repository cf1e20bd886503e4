/** What set-up consists of, in order. Each step runs only if its inputs have changed. */
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { NATIVE_BUILD, PYTHON, VENV, at } from './paths.mjs';
import { Failure, run } from './process.mjs';
import { findPython } from './python.mjs';
import { hasFortran, hasGoogleTest } from './system-needs.mjs';

/** @import { Step } from './steps.mjs' */

/** @returns {Record<string, unknown>} */
const packageJson = () => JSON.parse(readFileSync(at('package.json'), 'utf8'));

const NETWORK_HINT =
  'check that the package registry can be reached, then run the command again; what is done already stays done.';
const CONSTRAINTS = at('scripts', 'python-constraints.txt');

/** @type {Step} */
const npmPackages = {
  id: 'npm-packages',
  title: 'Installing npm packages',
  inputs: ['package-lock.json'],
  outputs: ['node_modules/.package-lock.json'],
  facts: () => [JSON.stringify([packageJson().dependencies, packageJson().devDependencies])],
  // No package that we use needs its install script, and some would download binaries.
  run: (log) => run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { log, hint: NETWORK_HINT }),
};

/** @type {Step} */
const pythonEnvironment = {
  id: 'python-environment',
  title: 'Making the Python environment .venv',
  inputs: [],
  outputs: ['.venv/bin/python'],
  facts: () => [findPython()],
  run: async (log) => {
    rmSync(VENV, { recursive: true, force: true });
    const python = findPython();
    await run(python, ['-m', 'venv', VENV], { log, hint: 'on Debian: apt-get install python3-venv' });
    // JupyterLab brings CommonJS scripts, which the "type": "module" of our package.json above them would break.
    writeFileSync(path.join(VENV, 'package.json'), '{ "type": "commonjs" }\n');
    await run(PYTHON, ['-m', 'pip', 'install', '--upgrade', 'pip', '-c', CONSTRAINTS], { log, hint: NETWORK_HINT });
  },
};

/** @type {Step} */
const pythonPackages = {
  id: 'python-packages',
  title: 'Installing Python packages (JupyterLab, pandas, test tools)',
  inputs: ['scripts/python-packages.txt', 'scripts/python-constraints.txt', '.venv/pyvenv.cfg'],
  outputs: ['.venv/bin/jupyter-lab', '.venv/bin/jupyter-builder'],
  run: (log) =>
    run(PYTHON, ['-m', 'pip', 'install', '-r', at('scripts', 'python-packages.txt'), '-c', CONSTRAINTS], {
      log,
      hint: NETWORK_HINT,
    }),
};

/** `cmake` and `ctest` of the machine if they are new enough, else PyPI's in .venv. @param {'cmake' | 'ctest'} tool */
export function cmakeTool(tool) {
  const version = /version (\d+)\.(\d+)/.exec(spawnSync(tool, ['--version'], { encoding: 'utf8' }).stdout ?? '');
  const recent = version !== null && (Number(version[1]) > 3 || Number(version[2]) >= 21);
  return recent ? tool : path.join(VENV, 'bin', tool);
}

/** @type {Step} */
const native = {
  id: 'native',
  title: 'Building the tracker and the addon (C++)',
  inputs: ['native', 'node_modules/node-addon-api/package.json', 'node_modules/node-api-headers/package.json'],
  outputs: ['filprofiler/_bundle/libfil_tracker.so', 'filprofiler/_bundle/filprofiler.node'],
  // With these there are more tests to build.
  facts: () => [String(packageJson().version), process.arch, String(hasGoogleTest()), String(hasFortran())],
  run: async (log) => {
    if (cmakeTool('cmake') !== 'cmake' && !existsSync(cmakeTool('cmake'))) {
      await run(PYTHON, ['-m', 'pip', 'install', 'cmake', '-c', CONSTRAINTS], { log, hint: NETWORK_HINT });
    }
    const cmake = cmakeTool('cmake');
    const hint =
      'a C++20 compiler and make are needed (on Debian: apt-get install g++ make); else read the first error in the log.';
    await run(cmake, ['-S', at('native'), '-B', NATIVE_BUILD, '-DCMAKE_BUILD_TYPE=Release'], { log, hint });
    await run(cmake, ['--build', NATIVE_BUILD, '--parallel', String(cpus().length)], { log, hint });
  },
};

/** @type {Step} */
const kernelBundle = {
  id: 'kernel-bundle',
  title: 'Bundling the kernel proxy',
  inputs: ['kernel/src', 'schema', 'scripts/build-kernel-bundle.mjs', 'package-lock.json'],
  outputs: ['fil.cjs', 'zeromq.node', 'THIRD_PARTY_LICENSES.txt'].map((name) => `filprofiler/_bundle/${name}`),
  facts: () => [String(packageJson().version)],
  run: (log) => run(process.execPath, [at('scripts', 'build-kernel-bundle.mjs')], { log }),
};

/** @type {Step} */
const reportPage = {
  id: 'report-page',
  title: "Bundling the report's page",
  inputs: ['labextension/src', 'style', 'schema', 'scripts/build-report-page.mjs', 'package-lock.json'],
  outputs: [
    ...['report.html', 'picture.css', 'picture.js'].map((name) => `filprofiler/_bundle/${name}`),
    'build/report-page.txt',
  ],
  run: (log) => run(process.execPath, [at('scripts', 'build-report-page.mjs')], { log }),
};

/** @type {Step} */
const labExtension = {
  id: 'lab-extension',
  title: 'Building the Lab extension',
  inputs: ['labextension', 'style', 'schema', 'build/report-page.txt', 'package-lock.json', 'tsconfig.base.json'],
  outputs: ['filprofiler/labextension/package.json'],
  facts: () => [JSON.stringify([packageJson().jupyterlab, packageJson().version, packageJson().main])],
  run: async (log) => {
    await run(process.execPath, [at('node_modules', 'typescript', 'bin', 'tsc'), '-b', at('labextension')], { log });
    await run(path.join(VENV, 'bin', 'jupyter-builder'), ['build', at()], { log });
  },
};

/** @type {Step} */
const pythonPackage = {
  id: 'python-package',
  title: 'Installing filprofiler itself (editable)',
  inputs: ['pyproject.toml', 'scripts/hatch_build.py', '.venv/pyvenv.cfg'],
  outputs: ['.venv/bin/fil-profile'],
  facts: () => [String(packageJson().version)],
  run: (log) => run(PYTHON, ['-m', 'pip', 'install', '--no-deps', '--no-build-isolation', '-e', at()], { log }),
};

const KERNEL_SPEC = path.join(VENV, 'share', 'jupyter', 'kernels', 'filprofile', 'kernel.json');
const LAB_LINK = path.join(VENV, 'share', 'jupyter', 'labextensions', 'filprofiler');

/** @type {Step} */
const jupyter = {
  id: 'jupyter',
  title: 'Registering the kernel and the Lab extension in .venv',
  inputs: ['jupyter-config', '.venv/pyvenv.cfg'],
  outputs: [path.relative(at(), KERNEL_SPEC), path.relative(at(), LAB_LINK)],
  run: async () => {
    const template = at('jupyter-config', 'kernel.json');
    if (!existsSync(template)) {
      throw new Failure(`${template} is missing, which the kernel's registration is made from. Restore it with git.`);
    }
    const spec = JSON.parse(readFileSync(template, 'utf8'));
    // Absolute: the "python" of PATH may be another one, under Hub and in editors.
    spec.argv[0] = PYTHON;
    mkdirSync(path.dirname(KERNEL_SPEC), { recursive: true });
    writeFileSync(KERNEL_SPEC, `${JSON.stringify(spec, null, 1)}\n`);
    mkdirSync(path.dirname(LAB_LINK), { recursive: true });
    rmSync(LAB_LINK, { recursive: true, force: true });
    symlinkSync(path.relative(path.dirname(LAB_LINK), at('filprofiler', 'labextension')), LAB_LINK);
  },
};

/** All steps in their order, by the names that `npm run build -- NAME` takes where they are builds. */
export const STEPS = {
  npm: npmPackages,
  venv: pythonEnvironment,
  pip: pythonPackages,
  native,
  kernel: kernelBundle,
  view: reportPage,
  lab: labExtension,
  package: pythonPackage,
  jupyter,
};
