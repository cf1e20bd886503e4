/**
 * What each line of a program held, from a report's columns: for tables of all lines, however many there are.
 */
import { at } from '../../../schema/columns.js';
import type { Report } from '../../../schema/report.js';

/** For each row of the frame table. */
export interface LineTotals {
  /** Bytes that the line allocated itself. */
  readonly selfBytes: Float64Array;
  /** Bytes of the line and everything that it called; of recursive calls only the outermost counts. */
  readonly totalBytes: Float64Array;
}

/** Linear in the number of nodes. */
export function lineTotals({ frames, tree }: Report): LineTotals {
  const count = frames.kind.length;
  const selfBytes = new Float64Array(count);
  const totalBytes = new Float64Array(count);
  /** How often each line is among the node's callers. */
  const open = new Int32Array(count);
  /** Nodes from the root to the one last seen. */
  const path: number[] = [];
  for (let node = 0; node < tree.parent.length; node++) {
    const above = at(tree.parent, node);
    while (path.length > 0 && path[path.length - 1] !== above) {
      const left = at(tree.frame, path.pop() ?? 0);
      open[left] = at(open, left) - 1;
    }
    const row = at(tree.frame, node);
    selfBytes[row] = at(selfBytes, row) + at(tree.selfBytes, node);
    if (at(open, row) === 0) {
      totalBytes[row] = at(totalBytes, row) + at(tree.totalBytes, node);
    }
    open[row] = at(open, row) + 1;
    path.push(node);
  }
  return { selfBytes, totalBytes };
}
