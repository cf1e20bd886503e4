/** The directory of the sockets between proxy and child, for this user only. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reasonOf, StartFailure } from '../failure.js';

/** Longest path of a Unix socket on Linux, with its closing zero (sockaddr_un.sun_path). */
const SOCKET_PATH_LIMIT = 108;
/** Of the name, in bytes: nobody can guess it and stand there before us. */
const RANDOM_BYTES = 8;
const LONGEST_NAME = `/fil-${'x'.repeat(2 * RANDOM_BYTES)}/control`;

/** Separate the names in LD_PRELOAD, in which the directory may stand. */
const SEPARATORS = /[\s:]/;

/**
 * Where it will be: under the system's directory for temporary files, or under /tmp where that has a name too long for sockets or one
 * that can't be preloaded from. Known before it exists, so that whoever removes it after a sudden death can be told first.
 */
export function choosePrivateDirectory(): string {
  const wanted = tmpdir();
  const isFit = Buffer.byteLength(wanted + LONGEST_NAME) < SOCKET_PATH_LIMIT && !SEPARATORS.test(wanted);
  const base = isFit ? wanted : '/tmp';
  return join(base, `fil-${randomBytes(RANDOM_BYTES).toString('hex')}`);
}

/**
 * Makes it, with mode 0700.
 *
 * @throws {StartFailure} if there is no room for it.
 */
export function makePrivateDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    throw new StartFailure(
      `Fil can't make a directory for its sockets, ${path}: ${reasonOf(error)}. Set TMPDIR to a directory that it can write.`,
    );
  }
}

export function removePrivateDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
