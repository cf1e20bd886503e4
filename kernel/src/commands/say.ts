/** What the commands that read reports tell: results on stdout, everything else on stderr. */
import { writeSync } from 'node:fs';

/** Waits until a reader has taken what is there. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}

/** Writes all of it, also into a pipe whose reader is slow; a reader that has gone (`| head`) has all that it wants. */
export function writeOut(content: string | Uint8Array, descriptor = 1): void {
  let rest = typeof content === 'string' ? Buffer.from(content) : Buffer.from(content);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : null;
      if (code === 'EPIPE') {
        process.exit(0);
      }
      if (code !== 'EAGAIN') {
        throw error;
      }
      pause();
    }
  }
}

export function tell(text: string): void {
  writeOut(`=fil-profile= ${text}\n`, 2);
}
