/** Where a report goes: a new directory, named by the local time, below the one that the user chose. */
import { existsSync, mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** Reports of one millisecond: of a signal sent twice. */
const MOST_TRIES = 1000;

/**
 * Makes it, and those above it. Throws what the system says.
 *
 * @param mode of the directories that are made.
 * @param suffix of its name.
 */
export function makeReportDirectory(base: string, now: Date, mode = 0o777, suffix = ''): string {
  makeDirectories(resolve(base), mode);
  const name = join(base, `${localTime(now)}${suffix}`);
  for (let tries = 1; ; tries++) {
    const path = tries === 1 ? name : `${name}-${tries}`;
    try {
      mkdirSync(path, mode);
      return path;
    } catch (error) {
      const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST';
      if (!exists || tries === MOST_TRIES) {
        throw error;
      }
    }
  }
}

/** By hand: Node's own way never ends where a directory can't be made in one that is there, as in /proc. */
function makeDirectories(path: string, mode: number): void {
  if (!existsSync(path)) {
    makeDirectories(dirname(path), mode);
    mkdirSync(path, mode);
  }
}

/** For this user only, as anybody can look into the directory above. */
export function makeTemporaryReportDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'fil-result-'));
}

/** An empty directory would be taken for a report. */
export function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Some file could be written.
  }
}

/** `2026-11-22T11-43-47_474`: sorts by time, and is a file name everywhere. */
export function localTime(now: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join('-');
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join('-');
  return `${date}T${time}_${String(now.getMilliseconds()).padStart(3, '0')}`;
}
