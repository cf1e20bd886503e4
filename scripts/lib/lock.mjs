/** One set-up at a time: two of them, as of `npm start` and `npm test`, would delete each other's files. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { at } from './paths.mjs';

const LOCK = at('build', 'setup.lock');
const POLL_MILLISECONDS = 300;

/** @returns {number | null} pid of the living process that holds the lock */
function holder() {
  try {
    const pid = Number(readFileSync(LOCK, 'utf8'));
    process.kill(pid, 0);
    return pid;
  } catch {
    return null;
  }
}

/** @returns {boolean} whether the lock is ours now */
function take() {
  try {
    writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
    return true;
  } catch {
    return false;
  }
}

/**
 * Does some work while no other set-up of this checkout runs; waits for its end, and says so.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function alone(work) {
  mkdirSync(path.dirname(LOCK), { recursive: true });
  for (let announced = false; !take();) {
    const pid = holder();
    if (pid === null) {
      // Its process was killed before it could remove the lock.
      rmSync(LOCK, { force: true });
      continue;
    }
    if (!announced) {
      console.log(`Waiting for the set-up that process ${pid} does ...`);
      announced = true;
    }
    await sleep(POLL_MILLISECONDS);
  }
  try {
    return await work();
  } finally {
    rmSync(LOCK, { force: true });
  }
}
