/** What the launcher says: on stderr only, so that the program's output stays its own, each line with a prefix to tell them apart. */
import { writeSync } from 'node:fs';
import { reasonOf } from '../failure.js';

const PREFIX = '=fil-profile= ';
const STDERR = 2;

/** Writes at once: this process may end without Node's clean-up. */
export function say(text: string): void {
  const lines = text
    .split('\n')
    .map((line) => `${PREFIX}${line}\n`)
    .join('');
  let rest = Buffer.from(lines);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(STDERR, rest));
    } catch (error) {
      // The program may have made the terminal or pipe that it shares with us non-blocking.
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) {
        // Closed by whoever started us: nobody is there to read.
        return;
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** A failure of ours in one line. */
export function sayFailure(what: string, error: unknown): void {
  say(`${what}: ${reasonOf(error)}`);
}
