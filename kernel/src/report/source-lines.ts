/**
 * Reads the source lines of a report's frames from disk. File names come from the user's process and can name anything: a pipe, a
 * device, a file that has grown to gigabytes, one that is gone.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';

/** The largest Python file known to us (generated code) has 4 MB; data with a `.py` name is not worth reading. */
const LARGEST_FILE_BYTES = 8 * 2 ** 20;
/** For one report. 5,000 frames of distinct large files must not hold up the cell's end. */
const MOST_BYTES = 64 * 2 ** 20;
const MOST_FILES = 1_000;

/** The encoding declared in the first two lines, as Python finds it (PEP 263). */
const DECLARED_ENCODING = /^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)/;

/** Lines of source files, each file read at most once, within limits; beyond them lines are just unknown. */
export class SourceLines {
  readonly #workingDirectory: string;
  readonly #linesOfFile = new Map<string, readonly string[]>();
  #bytesRead = 0;

  /** @param workingDirectory absolute; the base of relative file names. */
  constructor(workingDirectory: string) {
    this.#workingDirectory = workingDirectory;
  }

  /** Text of a line, numbered from 1; empty where it can't be known. */
  line(filename: string, line: number): string {
    // `<string>`, `<frozen importlib._bootstrap>`: code without a file.
    if (filename.startsWith('<')) {
      return '';
    }
    let lines = this.#linesOfFile.get(filename);
    if (lines === undefined) {
      lines = this.#read(filename);
      this.#linesOfFile.set(filename, lines);
    }
    return lines[line - 1] ?? '';
  }

  #read(filename: string): readonly string[] {
    if (this.#linesOfFile.size >= MOST_FILES || filename.includes('\0')) {
      return [];
    }
    const path = isAbsolute(filename) ? filename : join(this.#workingDirectory, filename);
    try {
      const content = readRegularFile(path, Math.min(LARGEST_FILE_BYTES, MOST_BYTES - this.#bytesRead));
      if (content === null) {
        return [];
      }
      this.#bytesRead += content.length;
      return decode(content).split(/\r\n|\r|\n/);
    } catch {
      // Gone, unreadable, or inside an archive: the frame is shown without its source line.
      return [];
    }
  }
}

/** The content of a regular file; null if it is something else or larger than `most` bytes. */
function readRegularFile(path: string, most: number): Buffer | null {
  // Opening a pipe for reading would wait for a writer.
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile() || status.size > most) {
      return null;
    }
    const content = Buffer.alloc(status.size);
    let length = 0;
    for (;;) {
      const count = readSync(descriptor, content, length, content.length - length, null);
      length += count;
      if (count === 0 || length === content.length) {
        return content.subarray(0, length);
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Text of a Python file; empty for binary data. */
function decode(content: Buffer): string {
  if (content.includes(0)) {
    return '';
  }
  const head = content
    .subarray(0, 400)
    .toString('latin1')
    .split(/\r\n|\r|\n/, 2);
  const declared = head.map((line) => DECLARED_ENCODING.exec(line)?.[1]).find((name) => name !== undefined);
  for (const encoding of [declared, 'utf-8']) {
    try {
      return new TextDecoder(encoding, { fatal: true }).decode(content);
    } catch {
      // An encoding that Node doesn't know, or that the file is not in.
    }
  }
  // Never fails, and keeps ASCII, so most of the line is right.
  return content.toString('latin1');
}
