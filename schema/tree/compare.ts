/**
 * A report beside an earlier one of the same code: which frames and lines hold more, and which less. No DOM here.
 */
import { type Frame, isTopLevel, isUserCode } from '../places.js';
import type { Report } from '../report.js';
import { noMappedBytes } from '../summary.js';
import type { LineRow } from './lines.js';
import type { FlameFrame, FlameTree } from './model.js';

/** Shades of a difference on either side of none. */
export const DELTA_LEVELS = 3;

/** -3 (much less) to 3 (much more); 0 if the difference is below 0.5 % of the larger peak. */
export function deltaLevel(deltaBytes: number, largerPeakBytes: number): number {
  const share = Math.abs(deltaBytes) / Math.max(1, largerPeakBytes);
  if (share < 0.005) {
    return 0;
  }
  return Math.sign(deltaBytes) * (share < 0.05 ? 1 : share < 0.25 ? 2 : DELTA_LEVELS);
}

/** Writes into a tree's frames how many bytes more each holds than the frame of the same path in an earlier tree. */
export function writeDeltas(now: FlameTree, before: FlameTree): void {
  const pending: [FlameFrame, FlameFrame | undefined][] = [[now[0], before[0]]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [frame, earlier] = next;
    frame.deltaBytes = frame.value - (earlier?.value ?? 0);
    const earlierCallees = byKey(earlier?.children ?? []);
    for (const [key, callee] of byKey(frame.children)) {
      pending.push([callee, earlierCallees.get(key)]);
    }
  }
}

/** Rows of a report with their differences to an earlier one's, and rows of 0 bytes for lines that only the earlier one has. */
export function comparedRows(now: readonly LineRow[], before: readonly LineRow[]): LineRow[] {
  const earlier = new Map(numbered(before, ({ frame }) => frame));
  const rows = [...numbered(now, ({ frame }) => frame)].map(([key, row]): LineRow => {
    const then = earlier.get(key);
    earlier.delete(key);
    return { ...row, deltaBytes: row.ownBytes - (then?.ownBytes ?? 0) };
  });
  const gone = [...earlier.values()].map((row): LineRow => ({
    frame: row.frame,
    ownBytes: 0,
    totalBytes: 0,
    deltaBytes: -row.ownBytes,
    mapped: noMappedBytes(),
    frames: [],
  }));
  return [...rows, ...gone];
}

/** The bytes of a peak more than those of another one. */
export function peakDelta(now: Report, before: Report): number {
  return now.peakBytes - before.peakBytes;
}

function byKey(frames: readonly FlameFrame[]): Map<string, FlameFrame> {
  return new Map(numbered(frames, ({ frame }) => frame));
}

/** Each with a key that the same line has in another run: the text where the cell may have been edited, else the place. */
function* numbered<T>(items: readonly T[], frameOf: (item: T) => Frame): Iterable<[string, T]> {
  const seen = new Map<string, number>();
  for (const item of [...items].sort((a, b) => frameOf(a).line - frameOf(b).line)) {
    const key = keyOf(frameOf(item));
    const nth = seen.get(key) ?? 0;
    seen.set(key, nth + 1);
    yield [`${key}\n${nth}`, item];
  }
}

function keyOf(frame: Frame): string {
  if (frame.kind !== 'python') {
    return frame.kind;
  }
  const name = isTopLevel(frame) ? '' : frame.function;
  // Lines of the user's code move as it is edited; those of libraries are many with the same text.
  const line = isUserCode(frame) && frame.sourceLine !== '' ? frame.sourceLine : frame.line;
  // A cell has a new number each time that it runs.
  return `${frame.cell >= 0 ? 'cell' : frame.file}\n${name}\n${line}`;
}
