/**
 * Files that are there completely or not at all: somebody may be reading the last one, the disk may be full, we may be killed.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Pieces are gathered up to so many characters: a system call for each line would take most of the time. */
const CHUNK_CHARACTERS = 1 << 18;

/**
 * Writes a file beside its place and moves it there.
 *
 * @param path its directory exists.
 * @param pieces text or bytes, in parts of any size; iterated once.
 * @param mode of the file, before the process's mask.
 * @throws {Error} of the file system; then nothing is left behind, and what was at the path is as it was.
 */
export function writeAtomically(path: string, pieces: Iterable<string | Uint8Array>, mode = 0o666): void {
  // A short name of its own: "name + suffix" could be too long for the file system.
  const draft = join(dirname(path), `.fil-${randomBytes(6).toString('hex')}.tmp`);
  // "x": nobody can have put a link there.
  const descriptor = openSync(draft, 'wx', mode);
  try {
    try {
      let chunk = '';
      for (const piece of pieces) {
        if (typeof piece !== 'string') {
          writeAll(descriptor, Buffer.from(chunk));
          writeAll(descriptor, piece);
          chunk = '';
          continue;
        }
        chunk += piece;
        if (chunk.length >= CHUNK_CHARACTERS) {
          writeAll(descriptor, Buffer.from(chunk));
          chunk = '';
        }
      }
      writeAll(descriptor, Buffer.from(chunk));
    } finally {
      closeSync(descriptor);
    }
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    if (error instanceof Error) {
      error.message = error.message.replaceAll(basename(draft), basename(path));
    }
    throw error;
  }
}

/** One call can write less than it was given, without an error: a disk that is nearly full. */
function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let start = 0; start < bytes.length; ) {
    start += writeSync(descriptor, bytes, start);
  }
}
