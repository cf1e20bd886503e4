/**
 * What each line of a program held, from a report's columns: for tables of all lines, however many there are.
 */
import { at } from '../../../schema/columns.js';
import type { Report } from '../../../schema/report.js';
import { sampledTotals } from '../../../schema/sampling.js';

/** For each row of the frame table. */
export interface LineTotals {
  /** Bytes that the line allocated itself. */
  readonly selfBytes: Float64Array;
  /** Bytes of the line and everything that it called; of recursive calls only the outermost counts. */
  readonly totalBytes: Float64Array;
  /** What of these is estimated from samples: 0 in a report that is exact. */
  readonly selfSampledBytes: Float64Array;
  readonly totalSampledBytes: Float64Array;
}

/** Linear in the number of nodes. */
export function lineTotals(report: Report): LineTotals {
  const { frames, tree } = report;
  const sampled = sampledTotals(report);
  const count = frames.kind.length;
  const selfBytes = new Float64Array(count);
  const totalBytes = new Float64Array(count);
  const selfSampledBytes = new Float64Array(count);
  const totalSampledBytes = new Float64Array(count);
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
    selfSampledBytes[row] = at(selfSampledBytes, row) + (tree.sampledBytes?.[node] ?? 0);
    if (at(open, row) === 0) {
      totalBytes[row] = at(totalBytes, row) + at(tree.totalBytes, node);
      totalSampledBytes[row] = at(totalSampledBytes, row) + (sampled?.[node] ?? 0);
    }
    open[row] = at(open, row) + 1;
    path.push(node);
  }
  return { selfBytes, totalBytes, selfSampledBytes, totalSampledBytes };
}
