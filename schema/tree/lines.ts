/**
 * The table of lines, from a call tree: no DOM here.
 */
import type { Frame } from '../places.js';
import type { Report } from '../report.js';
import type { Estimate } from '../sampling.js';
import { type MappedBytes, addMapped, noMappedBytes } from '../summary.js';
import type { FlameFrame, FlameTree } from './model.js';

/** A line of a program with what it held at the peak. */
export interface LineRow {
  readonly frame: Frame;
  /** Allocated by the line itself; with folding, by what it called in libraries too. */
  ownBytes: number;
  /** By the line and everything that it called. */
  totalBytes: number;
  /** What of its own bytes, and of all, is estimated from samples: 0 in a report that is exact. */
  ownSampledBytes: number;
  totalSampledBytes: number;
  /** What the line held itself in the report that it is compared with; null if with none. */
  readonly before: Pick<LineRow, 'ownBytes' | 'ownSampledBytes'> | null;
  /** What of its own bytes it mapped. */
  readonly mapped: MappedBytes;
  /** The frames of the tree that are of this line. */
  readonly frames: FlameFrame[];
}

/** How the table is sorted, most first. */
export type LineOrder = 'own' | 'total' | 'delta';

/** Rows that are shown at first; many more make a page slow and nobody reads them. */
export const FIRST_ROWS = 50;

/**
 * All lines of a tree, each once.
 *
 * @param isCharged whether a frame's own bytes count as its own; others' count as those of the caller nearest that is.
 */
export function lineRows(tree: FlameTree, isCharged: (frame: FlameFrame) => boolean): LineRow[] {
  const rows = new Map<Frame, LineRow>();
  /** The frame that a frame's bytes are charged to. */
  const chargedTo = new Map<FlameFrame, FlameFrame>();
  for (const frame of tree) {
    const above = frame.parent === null ? undefined : chargedTo.get(frame.parent);
    const charged = isCharged(frame) || !above?.parent ? frame : above;
    chargedTo.set(frame, charged);
    if (frame.parent === null && frame.selfBytes === 0) {
      continue;
    }
    let row = rows.get(charged.frame);
    if (row === undefined) {
      row = {
        frame: charged.frame,
        ownBytes: 0,
        totalBytes: 0,
        ownSampledBytes: 0,
        totalSampledBytes: 0,
        before: null,
        mapped: noMappedBytes(),
        frames: [],
      };
      rows.set(charged.frame, row);
    }
    row.ownBytes += frame.selfBytes;
    row.ownSampledBytes += frame.selfSampledBytes;
    addMapped(row.mapped, frame.frame.kind, frame.selfBytes);
    if (charged === frame) {
      row.frames.push(frame);
      // Of recursive calls only the outermost: the others are in it.
      if (!isBelowItself(frame)) {
        row.totalBytes += frame.value;
        row.totalSampledBytes += frame.sampledBytes;
      }
    }
  }
  return [...rows.values()];
}

function isBelowItself({ frame, parent }: FlameFrame): boolean {
  for (let above = parent; above !== null; above = above.parent) {
    if (above.frame === frame) {
      return true;
    }
  }
  return false;
}

/** Own bytes more (or, negative, less) than in the report that it is compared with; 0 if with none. */
export function ownDeltaBytes({ ownBytes, before }: LineRow): number {
  return before === null ? 0 : ownBytes - before.ownBytes;
}

/** What a line held itself in a report, as a figure; 0 bytes where it is not in it. */
export function ownEstimate(held: LineRow['before'], { sampling }: Report): Estimate {
  return { bytes: held?.ownBytes ?? 0, sampledBytes: held?.ownSampledBytes ?? 0, sampling };
}

export function sortRows(rows: readonly LineRow[], order: LineOrder): LineRow[] {
  const by = (row: LineRow): number => {
    switch (order) {
      case 'own':
        return row.ownBytes;
      case 'total':
        return row.totalBytes;
      case 'delta':
        return Math.abs(ownDeltaBytes(row));
    }
  };
  return [...rows].sort((a, b) => by(b) - by(a) || b.totalBytes - a.totalBytes);
}
