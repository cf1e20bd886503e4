/**
 * A report's tree as call stacks, for formats that know no trees.
 */
import { at } from '../../../schema/columns.js';
import type { Report } from '../../../schema/report.js';

/**
 * For each node the bytes to write for its stack. What is not shown by name counts for its callers, whose stack is known; together they
 * are the peak.
 */
export function ownBytes({ tree, frames }: Report): Float64Array {
  const { parent, frame, selfBytes, totalBytes } = tree;
  const own = Float64Array.from(selfBytes);
  for (let node = 1; node < parent.length; node++) {
    const above = at(parent, node);
    if (above > 0 && frames.kind[at(frame, node)] === 'other') {
      own[above] = at(own, above) + at(totalBytes, node);
      own[node] = 0;
    }
  }
  return own;
}

/** A call stack with the bytes that its innermost frame held at the peak. */
export interface Stack {
  /** Rows of the frame table, outermost first; without the root, which is the program itself, unless it is all that there is. */
  readonly rows: readonly number[];
  readonly bytes: number;
}

/** The stacks that held something, in the order of the tree. The same array is used for all of them. */
export function* stacksOf(report: Report): Generator<Stack> {
  const { parent, frame } = report.tree;
  const own = ownBytes(report);
  const depthOf = new Int32Array(parent.length);
  const rows: number[] = [];
  for (let node = 0; node < parent.length; node++) {
    const above = at(parent, node);
    // In pre-order no other stack than that of the node last seen is needed again.
    const depth = above < 0 ? 0 : at(depthOf, above) + 1;
    depthOf[node] = depth;
    rows.length = Math.max(0, depth - 1);
    rows.push(at(frame, node));
    const bytes = at(own, node);
    if (bytes > 0) {
      yield { rows, bytes };
    }
  }
}
