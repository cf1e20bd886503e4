/** What some test suites need of the machine, beyond npm and pip. Installed with apt-get where that is possible. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { LOGS } from './paths.mjs';
import { Failure, run } from './process.mjs';

/** Where Debian, Ubuntu and Google put a Chromium; FIL_CHROMIUM names another. */
const CHROMIUMS =
  process.env.FIL_CHROMIUM === undefined
    ? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
    : [process.env.FIL_CHROMIUM];

/** @returns {string | undefined} path of the browser for the tests */
export const findChromium = () => CHROMIUMS.find((place) => existsSync(place));

/** GoogleTest for the unit tests of the tracker; the native build takes it in once it is there. */
export const hasGoogleTest = () => existsSync('/usr/include/gtest/gtest.h');

/** A Fortran compiler, for a library whose ALLOCATE the tests count. */
export const hasFortran = () => spawnSync('gfortran', ['--version']).status === 0;

/** Other allocators, as programs preload them or libraries bring them along. */
const hasAllocators = () =>
  ['jemalloc.so.2', 'tcmalloc_minimal.so.4'].every((name) =>
    (spawnSync('ldconfig', ['-p'], { encoding: 'utf8' }).stdout ?? '').includes(`lib${name}`),
  );

const hasFonts = () => /\.(ttf|otf)/.test(spawnSync('fc-list', { encoding: 'utf8' }).stdout ?? '');

/**
 * @typedef {object} Need
 * @property {string} what for a reader.
 * @property {() => boolean} isMet
 * @property {readonly string[]} packages Debian's.
 * @property {string} otherwise what else the user can do.
 */

/** @satisfies {Record<string, Need>} */
const NEEDS = {
  chromium: {
    what: `Chromium (looked for ${CHROMIUMS.join(', ')})`,
    isMet: () => findChromium() !== undefined,
    packages: ['chromium'],
    otherwise: 'name a browser with FIL_CHROMIUM=/path/to/chromium',
  },
  fonts: {
    what: 'fonts to draw text with',
    isMet: hasFonts,
    packages: ['fontconfig', 'fonts-dejavu-core', 'fonts-liberation'],
    otherwise: 'install any TrueType font',
  },
  googleTest: {
    what: 'GoogleTest (/usr/include/gtest/gtest.h)',
    isMet: hasGoogleTest,
    packages: ['libgtest-dev'],
    otherwise: 'run the other suites only',
  },
  allocators: {
    what: 'jemalloc and tcmalloc',
    isMet: hasAllocators,
    packages: ['libjemalloc2', 'libtcmalloc-minimal4'],
    otherwise: 'run the other suites only',
  },
  fortran: {
    what: 'gfortran',
    isMet: hasFortran,
    packages: ['gfortran'],
    otherwise: 'run the other suites only',
  },
};
/** @typedef {keyof typeof NEEDS} NeedName */
export const ALL_NEEDS = /** @type {readonly NeedName[]} */ (Object.keys(NEEDS));

/**
 * Installs what is missing of the named needs where that is possible: as root with apt-get. Does nothing if nothing is missing.
 *
 * @param {readonly NeedName[]} names
 * @throws {Failure} saying what to install, where it is not possible.
 */
export async function installSystemNeeds(names) {
  const missing = names.map((name) => NEEDS[name]).filter((need) => !need.isMet());
  if (missing.length === 0) {
    return;
  }
  const packages = missing.flatMap((need) => need.packages);
  const what = missing.map((need) => need.what).join(' and ');
  const command = `apt-get install ${packages.join(' ')}`;
  const hint = `install it (on Debian: ${command}), or ${missing.map((need) => need.otherwise).join(', ')}.`;
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || spawnSync('apt-get', ['--version']).status !== 0) {
    throw new Failure(`These tests need ${what}, and only root can install it with apt-get.\n  What to do: ${hint}`);
  }
  const log = path.join(LOGS, 'system-needs.log');
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  process.stdout.write(`Installing ${packages.join(', ')} with apt-get ... `);
  const started = performance.now();
  await run('apt-get', ['update'], { log, env, hint });
  await run('apt-get', ['install', '--yes', '--no-install-recommends', ...packages], { log, env, hint });
  console.log(`${((performance.now() - started) / 1000).toFixed(1)} s`);
  const unmet = missing.filter((need) => !need.isMet());
  if (unmet.length > 0) {
    throw new Failure(
      `apt-get installed ${packages.join(', ')}, yet ${unmet.map((need) => need.what).join(', ')} is missing.`,
    );
  }
}
