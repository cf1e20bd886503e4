/**
 * The top lines of a profile that is still running: without a copy of its ledger and without a call tree, so that asking twice a second
 * costs next to nothing, whatever the number of call sites.
 */
import { at } from '../../../schema/columns.js';
import type { CellSource } from '../../../schema/control.js';
import type { LiveLine } from '../../../schema/live.js';
import { isUserCode } from '../../../schema/places.js';
import type { CodeKind, Segment } from '../addon.js';
import { FrameCatalog, isMachineryFile } from './frames.js';
import { SourceLines } from './source-lines.js';

/** Asked of the segment: code that was defined again has a row for each definition, which become one line here. */
const ROWS_FOR_EACH_LINE = 8;

export class LiveLines {
  readonly #segment: Pick<Segment, 'codes' | 'peakLines'>;
  readonly #cells: ReadonlyMap<string, CellSource>;
  readonly #sources: SourceLines;
  // Rows never change within a session, so each name is read once.
  readonly #filename: string[] = [];
  readonly #qualifiedName: string[] = [];
  readonly #firstLine: number[] = [];
  readonly #kind: CodeKind[] = [];
  #isOwn = new Uint8Array(0);

  /**
   * For one session of the tracker.
   *
   * @param cells the notebook's cells by the file names of their code.
   * @param workingDirectory absolute; the base of relative file names.
   */
  constructor(
    segment: Pick<Segment, 'codes' | 'peakLines'>,
    cells: ReadonlyMap<string, CellSource>,
    workingDirectory: string,
  ) {
    this.#segment = segment;
    this.#cells = cells;
    this.#sources = new SourceLines(workingDirectory);
  }

  /**
   * The lines that held most at the peak so far, most first; memory is charged as in the report's top lines.
   *
   * @throws {Error} if the segment is corrupt.
   */
  top(most: number): LiveLine[] {
    this.#readNewCodes();
    const found = this.#segment.peakLines(this.#isOwn, ROWS_FOR_EACH_LINE * most);
    const catalog = new FrameCatalog({
      filename: Array.from(found.code, (code) => this.#filename[code] ?? ''),
      qualifiedName: Array.from(found.code, (code) => this.#qualifiedName[code] ?? ''),
      firstLine: Int32Array.from(found.code, (code) => this.#firstLine[code] ?? 0),
      kind: Array.from(found.code, (code) => this.#kind[code] ?? 'python'),
    });
    const bytesOf = new Map<number, number>();
    found.code.forEach((code, row) => {
      // A code beyond those that are known is "no code"; one that came in between is named next time.
      const frame = catalog.ofSite(code < this.#filename.length ? row : found.code.length, at(found.line, row));
      bytesOf.set(frame, (bytesOf.get(frame) ?? 0) + at(found.bytes, row));
    });
    const top = [...bytesOf].sort(([, a], [, b]) => b - a).slice(0, most);
    const table = catalog.table(
      top.map(([frame]) => frame),
      this.#cells,
      (filename, line) => this.#sources.line(filename, line),
    );
    return top.map(([, bytes], row) => ({
      kind: at(table.kind, row),
      function: at(table.function, row),
      file: at(table.file, row),
      line: at(table.line, row),
      sourceLine: at(table.sourceLine, row),
      cell: at(table.cell, row),
      bytes,
    }));
  }

  #readNewCodes(): void {
    const known = this.#filename.length;
    const { filename, qualifiedName, firstLine, kind } = this.#segment.codes(known);
    if (filename.length === 0) {
      return;
    }
    for (let row = 0; row < filename.length; row++) {
      this.#filename.push(at(filename, row));
      this.#qualifiedName.push(at(qualifiedName, row));
      this.#firstLine.push(at(firstLine, row));
      this.#kind.push(at(kind, row));
    }
    const isOwn = new Uint8Array(this.#filename.length);
    isOwn.set(this.#isOwn);
    filename.forEach((file, row) => {
      isOwn[known + row] = kind[row] === 'python' && this.#isUsers(file) ? 1 : 0;
    });
    this.#isOwn = isOwn;
  }

  #isUsers(file: string): boolean {
    const cell = this.#cells.get(file)?.executionCount ?? -1;
    return !isMachineryFile(file) && isUserCode({ kind: 'python', function: '', file, line: 0, sourceLine: '', cell });
  }
}
