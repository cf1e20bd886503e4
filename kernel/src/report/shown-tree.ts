/**
 * The part of a call tree that a report shows, in the report's order. Linear but for ordering siblings, and in typed arrays: a complete
 * report has a million nodes.
 */
import { at } from '../../../schema/columns.js';
import type { CallTree } from './call-tree.js';

/** The columns of a report's tree, with the catalog's or the given report's frame numbers. */
export interface ShownTree {
  readonly parent: number[];
  readonly frame: number[];
  readonly totalBytes: number[];
  readonly selfBytes: number[];
  /** Missing if all was counted. */
  readonly sampledBytes?: number[];
  /** Bytes of all nodes "other". */
  readonly otherBytes: number;
}

/** Of each node and everything below it. */
export interface Totals {
  readonly bytes: Float64Array;
  /** Null if all was counted. */
  readonly sampledBytes: Float64Array | null;
}

/** Stands in place of a node for the "other" of its parent. */
const OTHER = -1;

/**
 * The shown part of a tree in pre-order, siblings from most bytes to least; what is not shown of a node is its child "other". No
 * recursion: stacks can be deep.
 *
 * @param totals of each node and everything below it.
 * @param isShown 1 for the nodes to show; with a node, its callers.
 * @param otherFrame number of the frame "other".
 */
export function inPreOrder(
  tree: CallTree,
  { bytes: totals, sampledBytes: sampledTotals }: Totals,
  isShown: Uint8Array,
  otherFrame: number,
): ShownTree {
  const { starts, children } = shownChildren(tree, totals, isShown);
  const shown: ShownTree & { otherBytes: number } = {
    parent: [],
    frame: [],
    totalBytes: [],
    selfBytes: [],
    otherBytes: 0,
  };
  const sampledRows: number[] = [];
  const sampledTotal = (node: number): number => (sampledTotals === null ? 0 : at(sampledTotals, node));
  const pending = { node: [0], parentRow: [-1], bytes: [at(totals, 0)], sampled: [sampledTotal(0)] };
  const push = (node: number, parentRow: number, bytes: number, sampled: number): void => {
    pending.node.push(node);
    pending.parentRow.push(parentRow);
    pending.bytes.push(bytes);
    pending.sampled.push(sampled);
  };
  for (let node = pending.node.pop(); node !== undefined; node = pending.node.pop()) {
    const parentRow = pending.parentRow.pop() ?? -1;
    const bytes = pending.bytes.pop() ?? 0;
    const sampled = pending.sampled.pop() ?? 0;
    const row = shown.parent.push(parentRow) - 1;
    shown.totalBytes.push(bytes);
    if (node === OTHER) {
      shown.frame.push(otherFrame);
      shown.selfBytes.push(bytes);
      shown.otherBytes += bytes;
      sampledRows.push(sampled);
      continue;
    }
    const self = at(tree.selfBytes, node);
    shown.frame.push(at(tree.frame, node));
    shown.selfBytes.push(self);
    const selfSampled = tree.sampledBytes === null ? 0 : at(tree.sampledBytes, node);
    sampledRows.push(selfSampled);
    const [first, end] = [at(starts, node), at(starts, node + 1)];
    let hidden = bytes - self;
    let hiddenSampled = sampled - selfSampled;
    for (let nth = first; nth < end; nth++) {
      hidden -= at(totals, at(children, nth));
      hiddenSampled -= sampledTotal(at(children, nth));
    }
    // Most bytes last, to be taken off first; of equals, "other" comes last in the report.
    for (let nth = end - 1; nth >= first; nth--) {
      const child = at(children, nth);
      const childBytes = at(totals, child);
      if (hidden > 0 && hidden <= childBytes) {
        push(OTHER, row, hidden, hiddenSampled);
        hidden = 0;
      }
      push(child, row, childBytes, sampledTotal(child));
    }
    if (hidden > 0) {
      push(OTHER, row, hidden, hiddenSampled);
    }
  }
  return sampledTotals === null ? shown : { ...shown, sampledBytes: sampledRows };
}

/** For each node its shown children, from most bytes to least, of equals the first allocated first. */
function shownChildren(
  tree: CallTree,
  totals: Float64Array,
  isShown: Uint8Array,
): { readonly starts: Int32Array; readonly children: Int32Array } {
  const { size, parent } = tree;
  const starts = new Int32Array(size + 1);
  for (let node = 1; node < size; node++) {
    if (at(isShown, node) === 1) {
      const above = at(parent, node) + 1;
      starts[above] = at(starts, above) + 1;
    }
  }
  for (let node = 0; node < size; node++) {
    starts[node + 1] = at(starts, node + 1) + at(starts, node);
  }
  const children = new Int32Array(at(starts, size));
  const free = starts.slice();
  for (let node = 1; node < size; node++) {
    if (at(isShown, node) === 1) {
      const above = at(parent, node);
      const place = at(free, above);
      children[place] = node;
      free[above] = place + 1;
    }
  }
  for (let node = 0; node < size; node++) {
    const [first, end] = [at(starts, node), at(starts, node + 1)];
    if (end - first > 1) {
      children.subarray(first, end).sort((a, b) => at(totals, b) - at(totals, a) || a - b);
    }
  }
  return { starts, children };
}
