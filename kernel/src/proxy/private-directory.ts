/** The directory of the sockets between proxy and child, for this user only. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reasonOf, StartFailure } from '../failure.js';

/** Longest path of a Unix socket on Linux, with its closing zero (sockaddr_un.sun_path). */
const SOCKET_PATH_LIMIT = 108;
const LONGEST_NAME = '/fil-XXXXXX/control';

/**
 * Makes one with mode 0700 under the system's directory for temporary files, or under /tmp where that has too long a name for sockets.
 *
 * @throws {StartFailure} if there is no room for it.
 */
export function makePrivateDirectory(): string {
  const base = Buffer.byteLength(tmpdir() + LONGEST_NAME) < SOCKET_PATH_LIMIT ? tmpdir() : '/tmp';
  try {
    return mkdtempSync(join(base, 'fil-'));
  } catch (error) {
    throw new StartFailure(
      `Fil can't make a directory for its sockets in ${base}: ${reasonOf(error)}. Set TMPDIR to one it can.`,
    );
  }
}

export function removePrivateDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
