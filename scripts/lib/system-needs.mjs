/** What the browser tests need of the machine, beyond npm and pip: a Chromium and fonts to draw text with. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { LOGS } from './paths.mjs';
import { Failure, run } from './process.mjs';

/** Where Debian, Ubuntu and Google put a Chromium; FIL_CHROMIUM names another. */
const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const PACKAGES = ['chromium', 'fonts-dejavu-core', 'fonts-liberation'];

/** @returns {string | null} path of the browser for the tests */
export function findChromium() {
  const places = process.env.FIL_CHROMIUM === undefined ? PLACES : [process.env.FIL_CHROMIUM];
  return places.find((place) => existsSync(place)) ?? null;
}

const hasFonts = () => spawnSync('fc-list', { encoding: 'utf8' }).stdout?.includes('.ttf') === true;

/**
 * Installs what is missing where that is possible: as root with apt-get. Does nothing if nothing is missing.
 *
 * @returns {Promise<string>} the browser's path.
 * @throws {Failure} saying what to install, where it is not possible.
 */
export async function installSystemNeeds() {
  const found = findChromium();
  if (found !== null && hasFonts()) {
    return found;
  }
  const command = `apt-get install ${PACKAGES.join(' ')}`;
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || spawnSync('apt-get', ['--version']).status !== 0) {
    throw new Failure(
      `The browser tests need Chromium (looked for ${PLACES.join(', ')}) and fonts.\n  What to do: install them ` +
        `(on Debian: sudo ${command}), or name a browser: FIL_CHROMIUM=/path/to/chromium npm test`,
    );
  }
  const log = path.join(LOGS, 'system-needs.log');
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  process.stdout.write('Installing Chromium and fonts with apt-get ... ');
  const started = performance.now();
  await run('apt-get', ['update'], { log, env });
  await run('apt-get', ['install', '--yes', '--no-install-recommends', ...PACKAGES], {
    log,
    env,
    hint: `run ${command} yourself`,
  });
  console.log(`${((performance.now() - started) / 1000).toFixed(1)} s`);
  const installed = findChromium();
  if (installed === null) {
    throw new Failure(`apt-get installed ${PACKAGES.join(', ')}, but none of ${PLACES.join(', ')} exists.`);
  }
  return installed;
}
