/**
 * A report beside an earlier one of the same code: which frames and lines hold more, and which less. No DOM here.
 */
import { type Frame, isTopLevel, isUserCode } from '../places.js';
import type { Report } from '../report.js';
import type { Estimate } from '../sampling.js';
import { noMappedBytes } from '../summary.js';
import type { LineRow } from './lines.js';
import { addFrame, asTree, type FlameFrame, type FlameTree } from './model.js';

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

/** A report with one of its trees. */
export interface Shown {
  readonly report: Report;
  readonly tree: FlameTree;
}

/** A frame of two trees while they are laid over each other; at least one of both is there. */
interface Pair {
  readonly now: FlameFrame | undefined;
  readonly before: FlameFrame | undefined;
  readonly above: Pair | null;
  readonly callees: Pair[];
  /** Room that both need, and what they called. */
  room: number;
}

/**
 * Two trees in one: a frame is as wide as the larger of both, so that what is gone can be seen as well as what is new. Siblings are
 * ordered by that.
 */
export function mergedTree(now: Shown, before: Shown): FlameTree {
  const root: Pair = { now: now.tree[0], before: before.tree[0], above: null, callees: [], room: 0 };
  const pairs = [root];
  // Grows meanwhile.
  for (const pair of pairs) {
    for (const [callee, earlier] of paired(pair.now?.children ?? [], pair.before?.children ?? [], frameOf)) {
      const below: Pair = { now: callee, before: earlier, above: pair, callees: [], room: 0 };
      pair.callees.push(below);
      pairs.push(below);
    }
  }
  for (const pair of pairs.toReversed()) {
    pair.room = Math.max(pair.room, pair.now?.value ?? 0, pair.before?.value ?? 0);
    if (pair.above !== null) {
      pair.above.room += pair.room;
    }
  }
  const tree: FlameFrame[] = [];
  const pending: { readonly pair: Pair; readonly parent: FlameFrame | null }[] = [{ pair: root, parent: null }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { pair, parent } = next;
    const shown = pair.now ?? pair.before;
    if (shown === undefined) {
      continue;
    }
    const { report } = pair.now === undefined ? before : now;
    const made = addFrame(report, tree, parent, shown.frame, pair.room, pair.now?.selfBytes ?? 0);
    made.foldedFrames = shown.foldedFrames;
    made.sampledBytes = pair.now?.sampledBytes ?? 0;
    made.selfSampledBytes = pair.now?.selfSampledBytes ?? 0;
    made.compared = { now: heldBy(pair.now, now.report), before: heldBy(pair.before, before.report) };
    const callees = pair.callees.toSorted((a, b) => a.room - b.room);
    pending.push(...callees.map((callee) => ({ pair: callee, parent: made })));
  }
  return asTree(tree);
}

function heldBy(frame: FlameFrame | undefined, { sampling }: Report): Estimate {
  return { bytes: frame?.value ?? 0, sampledBytes: frame?.sampledBytes ?? 0, sampling };
}

const NOTHING = { ownBytes: 0, ownSampledBytes: 0 };

/** Rows of a report with their differences to an earlier one's, and rows of 0 bytes for lines that held something only there. */
export function comparedRows(now: readonly LineRow[], before: readonly LineRow[]): LineRow[] {
  return paired(now, before, frameOf).flatMap(([row, earlier]): LineRow[] => {
    if (row !== undefined) {
      return [{ ...row, before: earlier ?? NOTHING }];
    }
    return earlier === undefined || earlier.ownBytes === 0
      ? []
      : [
          {
            frame: earlier.frame,
            ownBytes: 0,
            totalBytes: 0,
            ownSampledBytes: 0,
            totalSampledBytes: 0,
            before: earlier,
            mapped: noMappedBytes(),
            frames: [],
          },
        ];
  });
}

/** The bytes of a peak more than those of another one. */
export function peakDelta(now: Report, before: Report): number {
  return now.peakBytes - before.peakBytes;
}

function frameOf({ frame }: { readonly frame: Frame }): Frame {
  return frame;
}

/**
 * What stands for the same code in two runs, in twos; what has no counterpart stands alone. Lines of the user's own code move and are
 * changed: what is not found by its text is found by what it assigns to or calls, in whatever file.
 */
function paired<T>(
  now: readonly T[],
  before: readonly T[],
  frameOf: (item: T) => Frame,
): [now: T | undefined, before: T | undefined][] {
  const earlier = new Map(numbered(before, frameOf, keyOf));
  const pairs: [T | undefined, T | undefined][] = [];
  const alone: T[] = [];
  for (const [key, item] of numbered(now, frameOf, keyOf)) {
    const then = earlier.get(key);
    if (then === undefined) {
      alone.push(item);
    } else {
      earlier.delete(key);
      pairs.push([item, then]);
    }
  }
  const left = new Map(numbered([...earlier.values()], frameOf, looseKeyOf));
  for (const [key, item] of numbered(alone, frameOf, looseKeyOf)) {
    pairs.push([item, left.get(key)]);
    left.delete(key);
  }
  return [...pairs, ...[...left.values()].map((then): [undefined, T] => [undefined, then])];
}

/** Each with its key; those with the same one are told apart by their order in the code. */
function* numbered<T>(
  items: readonly T[],
  frameOf: (item: T) => Frame,
  keyOf: (frame: Frame) => string,
): Iterable<[string, T]> {
  const seen = new Map<string, number>();
  for (const item of [...items].sort((a, b) => frameOf(a).line - frameOf(b).line)) {
    const key = keyOf(frameOf(item));
    const nth = seen.get(key) ?? 0;
    seen.set(key, nth + 1);
    yield [`${key}\n${nth}`, item];
  }
}

/** What the same line has in another run: the text where it may have moved, else the place. */
function keyOf(frame: Frame): string {
  if (frame.kind !== 'python') {
    return `${frame.kind}\n${frame.file}`;
  }
  // Lines of the user's code move as it is edited; those of libraries are many with the same text.
  return `${functionOf(frame)}\n${isUserCode(frame) && frame.sourceLine !== '' ? frame.sourceLine : frame.line}`;
}

/** What a line still has after it was changed or moved to another file: the variable that it assigns to, or what it calls. */
function looseKeyOf(frame: Frame): string {
  if (frame.kind !== 'python' || !isUserCode(frame)) {
    return `=${keyOf(frame)}`;
  }
  return `${nameOf(frame)}\n${beginOf(frame.sourceLine) || frame.sourceLine || frame.line}`;
}

function functionOf(frame: Frame): string {
  // A cell has a new number each time that it runs.
  return `${frame.cell >= 0 ? 'cell' : frame.file}\n${nameOf(frame)}`;
}

function nameOf(frame: Frame): string {
  return isTopLevel(frame) ? '' : frame.function;
}

/** `table` of `table = load(1)`, `plot` of `plot(table)`; empty if it is neither. */
function beginOf(sourceLine: string): string {
  const target = sourceLine.slice(0, Math.max(0, sourceLine.search(/=(?!=)/)));
  if (/^[\w\s.,[\]'"]+$/.test(target)) {
    return `${target.trim()} =`;
  }
  return sourceLine.slice(0, Math.max(0, sourceLine.indexOf('('))).trim();
}
