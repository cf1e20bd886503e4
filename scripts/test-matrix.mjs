/**
 * `npm run test:matrix`: the tests of the tracker under Pythons that are newer than the machine's, from Debian testing, in a chroot
 * that is made once (about 40 s, 460 MB under build/). Needs root.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LOGS, PYTHON, ROOT, at } from './lib/paths.mjs';
import { run, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

const VERSIONS = ['3.14', '3.15'];
const CHROOT = at('build', 'python-matrix');
const WRAPPERS = at('build', 'python-matrix-bin');
const log = path.join(LOGS, 'matrix.log');

/**
 * A program that runs a Python of the chroot as if it were installed: same paths, same processes, same pid, so that what is preloaded
 * and inherited arrives. Its mounts are its own and vanish with it.
 *
 * @param {string} version
 */
function writeWrapper(version) {
  const wrapper = path.join(WRAPPERS, `python${version}`);
  const mounts = ['proc', 'dev'].map((name) => `mount --rbind /${name} "$root/${name}"`);
  for (const shared of [tmpdir(), ROOT]) {
    mounts.push(`mkdir -p "$root${shared}"`, `mount --bind "${shared}" "$root${shared}"`);
  }
  const inside = `root=$1; shift; ${mounts.join(' && ')} && exec chroot "$root" /usr/bin/python${version} "$@"`;
  writeFileSync(
    wrapper,
    `#!/bin/sh\nexec unshare --mount --propagation private sh -c '${inside}' sh "${CHROOT}" "$@"\n`,
  );
  chmodSync(wrapper, 0o755);
  return wrapper;
}

await script(async () => {
  await setUp();
  await run('bash', [at('scripts', 'make-python-matrix.sh'), CHROOT], {
    log,
    echo: true,
    hint: 'run it as root on Debian, where debootstrap can make a chroot; its log is beside the chroot.',
  });
  mkdirSync(WRAPPERS, { recursive: true });
  const wrappers = VERSIONS.map(writeWrapper);
  await run(PYTHON, ['-m', 'pytest', at('native', 'test', 'python'), '-q', '--timeout', '120'], {
    log,
    echo: true,
    env: { TRACKER_TEST_PYTHONS: wrappers.join(path.delimiter) },
    hint: 'a test failed under one of these Pythons; its name ends in the version.',
  });
});
