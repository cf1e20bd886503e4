/**
 * Frames of call stacks: gives one number to each line of each function, and makes the report's frame table of those that are shown.
 */
import { at } from '../../../schema/columns.js';
import type { CellSource } from '../../../schema/control.js';
import { withoutInstallation } from '../../../schema/places.js';
import type { FrameKind, Report } from '../../../schema/report.js';
import type { Snapshot } from './snapshot.js';
import { displayable } from './text.js';

/** What a frame's number stands for until the report's table is made. */
interface FrameKey {
  readonly kind: FrameKind;
  /** Row of the snapshot's code columns; -1 where the frame is neither of Python code nor a mapping. */
  readonly code: number;
  readonly line: number;
}

/** A code object as the report shows it. */
interface ShownCode {
  readonly filename: string;
  /** The lines of the notebook's cell that it is of; null for others. */
  readonly cellLines: readonly string[] | null;
  readonly function: string;
  readonly file: string;
  readonly cell: number;
}

/** Gives the text of a source line; empty where it is unknown. */
export type SourceLineOf = (filename: string, line: number) => string;

/** Longer names are cut: they would only fill the notebook. */
const LONGEST_NAME = 300;
const LONGEST_FILE = 1000;
const LONGEST_SOURCE_LINE = 200;

/**
 * Code of the notebook machinery and of the profiler, which the reader didn't write and can't change. Stacks stop at a cell's own
 * code, but a magic inside the cell (`%%time`) calls through the machinery again.
 */
const MACHINERY =
  /(?:^|[/\\])(?:site-packages|dist-packages)[/\\](?:IPython|ipykernel|traitlets)[/\\]|(?:^|[/\\])filprofiler[/\\][^/\\]*\.py$|^<decorator-gen-\d+>$/;

/** Whether a file belongs to the notebook machinery or the profiler. */
export function isMachineryFile(filename: string): boolean {
  return MACHINERY.test(filename);
}

/** Numbers of the frames that are no Python code, the same in every catalog. */
export const ROOT_FRAME = 0;
export const NO_PYTHON_STACK_FRAME = 1;
export const OTHER_FRAME = 2;
export const SKIPPED_CALLERS_FRAME = 3;

/**
 * All frames of a snapshot. Code objects that a reader can't tell apart (a function that was defined again, a cell that was run again)
 * share their frames, so that their memory is added up.
 */
export class FrameCatalog {
  readonly #codes: Snapshot['codes'];
  readonly #keys: FrameKey[] = [
    { kind: 'root', code: -1, line: 0 },
    { kind: 'no-python-stack', code: -1, line: 0 },
    { kind: 'other', code: -1, line: 0 },
    { kind: 'skipped-callers', code: -1, line: 0 },
  ];
  /** For each code, the first one with the same file and name. */
  readonly #sameCode: Int32Array;
  readonly #isMachinery: Uint8Array;
  /** For each code, its frames by line. */
  readonly #framesOfCode: (Map<number, number> | undefined)[] = [];

  constructor(codes: Snapshot['codes']) {
    this.#codes = codes;
    const count = codes.filename.length;
    this.#sameCode = new Int32Array(count);
    this.#isMachinery = new Uint8Array(count);
    const firstOf = new Map<string, Map<string, number>>();
    for (let code = 0; code < count; code++) {
      const filename = at(codes.filename, code);
      const name = at(codes.qualifiedName, code);
      const kind = at(codes.kind, code);
      const file = `${kind} ${filename}`;
      let inFile = firstOf.get(file);
      if (inFile === undefined) {
        inFile = new Map();
        firstOf.set(file, inFile);
      }
      const first = inFile.get(name);
      this.#sameCode[code] = first ?? code;
      if (first === undefined) {
        inFile.set(name, code);
      }
      this.#isMachinery[code] = kind === 'python' && isMachineryFile(filename) ? 1 : 0;
    }
  }

  /** The frame of a call site, from its columns in the snapshot; a code outside the table is "no code". */
  ofSite(code: number, line: number): number {
    if (code >= this.#sameCode.length) {
      return NO_PYTHON_STACK_FRAME;
    }
    const same = at(this.#sameCode, code);
    let frames = this.#framesOfCode[same];
    if (frames === undefined) {
      frames = new Map();
      this.#framesOfCode[same] = frames;
    }
    let frame = frames.get(line);
    if (frame === undefined) {
      frame = this.#keys.length;
      this.#keys.push({ kind: at(this.#codes.kind, same), code: same, line: Math.max(0, line) });
      frames.set(line, frame);
    }
    return frame;
  }

  /** Whether code belongs to the notebook machinery or the profiler. */
  isMachinery(code: number): boolean {
    return this.#isMachinery[code] === 1;
  }

  /**
   * The report's columns for some frames, in the order given.
   *
   * @param frames numbers that this catalog gave.
   * @param cells the notebook's cells by the file names of their code.
   * @param sourceLineOf reads the lines of other files.
   */
  table(
    frames: readonly number[],
    cells: ReadonlyMap<string, CellSource>,
    sourceLineOf: SourceLineOf,
  ): Report['frames'] {
    const table: Report['frames'] = { kind: [], function: [], file: [], line: [], sourceLine: [], cell: [] };
    const shownCodes = new Map<number, ShownCode>();
    for (const frame of frames) {
      const { kind, code, line } = this.#key(frame);
      let shown = shownCodes.get(code);
      if (shown === undefined) {
        shown = this.#shownCode(code, cells);
        shownCodes.set(code, shown);
      }
      const { filename, cellLines } = shown;
      const isKnown = filename !== '' && line > 0;
      const source = cellLines !== null ? (cellLines[line - 1] ?? '') : isKnown ? sourceLineOf(filename, line) : '';
      table.kind.push(kind);
      table.function.push(shown.function);
      table.file.push(shown.file);
      table.line.push(line);
      table.sourceLine.push(source === '' ? '' : displayable(source.trim(), LONGEST_SOURCE_LINE));
      table.cell.push(shown.cell);
    }
    return table;
  }

  /** What all frames of a code have in common. */
  #shownCode(code: number, cells: ReadonlyMap<string, CellSource>): ShownCode {
    const filename = code < 0 ? '' : at(this.#codes.filename, code);
    const cell = cells.get(filename);
    return {
      filename,
      cellLines: cell === undefined ? null : cell.source.split(/\r\n|\r|\n/),
      function: code < 0 ? '' : displayable(at(this.#codes.qualifiedName, code), LONGEST_NAME),
      file:
        cell === undefined ? displayable(withoutInstallation(filename), LONGEST_FILE) : `Cell [${cell.executionCount}]`,
      cell: cell === undefined ? -1 : cell.executionCount,
    };
  }

  #key(frame: number): FrameKey {
    const key = this.#keys[frame];
    if (key === undefined) {
      throw new RangeError(`Frame ${frame} was asked for; the catalog has ${this.#keys.length}.`);
    }
    return key;
  }
}
