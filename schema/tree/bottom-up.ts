/**
 * The call tree upside down: first the lines that allocated, below each its callers. No DOM here.
 */
import type { Frame } from '../places.js';
import type { Report } from '../report.js';
import { say } from '../words.js';
import { addFrame, asTree, type FlameFrame, type FlameTree } from './model.js';

/** Smaller groups are not expanded: they are narrower than a pixel, and there are many. */
const SMALLEST_SHARE = 1 / 2000;

/** Where in the original tree a group stands, and what of its bytes it brought along. */
interface Cursor {
  readonly at: FlameFrame;
  readonly bytes: number;
  readonly sampledBytes: number;
}

/** @param tree of the report, whole or folded. */
export function bottomUp(report: Report, tree: FlameTree): FlameTree {
  const smallest = report.peakBytes * SMALLEST_SHARE;
  const made: FlameFrame[] = [];
  const [{ frame: rootFrame }] = tree;
  const root = addFrame(report, made, null, rootFrame, report.peakBytes, 0);
  root.sampledBytes = tree[0].sampledBytes;
  const cursors = tree
    .filter(({ selfBytes }) => selfBytes > 0)
    .map((at) => ({ at, bytes: at.selfBytes, sampledBytes: at.selfSampledBytes }));
  const pending: { parent: FlameFrame; cursors: readonly Cursor[] }[] = [];
  const expand = (parent: FlameFrame, from: readonly Cursor[]): void => {
    const groups = [...groupByFrame(from)].filter(([, { bytes }]) => bytes >= smallest);
    groups.sort(([, a], [, b]) => b.bytes - a.bytes);
    for (const [frame, { bytes, sampledBytes, cursors: within, folded }] of groups) {
      const child = addFrame(report, made, parent, frame, bytes, 0);
      child.sampledBytes = sampledBytes;
      child.foldedFrames = folded;
      pending.push({ parent: child, cursors: within });
    }
  };
  expand(root, cursors);
  const shown = root.children.reduce((sum, { value }) => sum + value, 0);
  if (report.peakBytes - shown >= smallest) {
    const other = addFrame(report, made, root, otherFrame(), report.peakBytes - shown, 0);
    const named = root.children.reduce((sum, { sampledBytes }) => sum + sampledBytes, 0);
    other.sampledBytes = Math.max(0, root.sampledBytes - named);
  }
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    const callers = next.cursors.flatMap(({ at, ...carried }) =>
      at.parent?.parent ? [{ at: at.parent, ...carried }] : [],
    );
    expand(next.parent, callers);
  }
  return asTree(made);
}

interface Group {
  bytes: number;
  sampledBytes: number;
  folded: number;
  readonly cursors: Cursor[];
}

function groupByFrame(cursors: readonly Cursor[]): Map<Frame, Group> {
  const groups = new Map<Frame, Group>();
  for (const cursor of cursors) {
    let group = groups.get(cursor.at.frame);
    if (group === undefined) {
      group = { bytes: 0, sampledBytes: 0, folded: 0, cursors: [] };
      groups.set(cursor.at.frame, group);
    }
    group.bytes += cursor.bytes;
    group.sampledBytes += cursor.sampledBytes;
    group.folded += cursor.at.foldedFrames;
    group.cursors.push(cursor);
  }
  return groups;
}

function otherFrame(): Frame {
  return { kind: 'other', function: '', file: '', line: 0, sourceLine: say('too small to show'), cell: -1 };
}
