/** A report of one process out of those of a report. */
import { at } from '../columns.js';
import type { TrackedProcess } from '../processes.js';
import type { Report } from '../report.js';

/** The nodes of processes, below the root. */
export interface ProcessNode {
  readonly node: number;
  /** As its frame says. */
  readonly name: string;
  readonly bytes: number;
}

/** The processes that held something at the peak, most bytes first; empty if it was one process. */
export function processNodes({ tree, frames }: Report): ProcessNode[] {
  const found: ProcessNode[] = [];
  tree.parent.forEach((parent, node) => {
    const frame = at(tree.frame, node);
    if (parent === 0 && frames.kind[frame] === 'process') {
      found.push({ node, name: frames.function[frame] ?? '', bytes: at(tree.totalBytes, node) });
    }
  });
  return found.sort((a, b) => b.bytes - a.bytes);
}

/** A call tree, with what of each node's `totalBytes` is estimated. */
interface JoinedTree extends Pick<Report['tree'], 'parent' | 'frame' | 'totalBytes'> {
  readonly sampledBytes: readonly number[];
}

/** The stacks of all processes in one tree, callers before what they call: where several have the same stack they share a node. */
export function joinedTree({ tree, frames }: Report, sampledTotals: Float64Array | null): JoinedTree {
  const joined = {
    parent: [-1],
    frame: [at(tree.frame, 0)],
    totalBytes: [at(tree.totalBytes, 0)],
    sampledBytes: [sampledTotals?.[0] ?? 0],
  };
  const rows = [0];
  const known = new Map<number, number>();
  for (let node = 1; node < tree.parent.length; node++) {
    const above = at(rows, at(tree.parent, node));
    const frame = at(tree.frame, node);
    if (frames.kind[frame] === 'process') {
      rows.push(above);
      continue;
    }
    const key = above * frames.kind.length + frame;
    const row = known.get(key) ?? joined.parent.length;
    if (row === joined.parent.length) {
      known.set(key, row);
      joined.parent.push(above);
      joined.frame.push(frame);
      joined.totalBytes.push(0);
      joined.sampledBytes.push(0);
    }
    joined.totalBytes[row] = at(joined.totalBytes, row) + at(tree.totalBytes, node);
    joined.sampledBytes[row] = at(joined.sampledBytes, row) + (sampledTotals?.[node] ?? 0);
    rows.push(row);
  }
  return joined;
}

/** What the frame of a process says. */
export function processFrameName({ name, pid }: Pick<TrackedProcess, 'name' | 'pid'>): string {
  return `${name}, pid ${pid}`;
}

/**
 * The part of a report that is one process's: its stacks at the peak of all, and its memory over time.
 *
 * @param node one of {@link processNodes}.
 */
export function ofProcess(report: Report, { node, name, bytes }: ProcessNode): Report {
  const { tree, timeline, processes } = report;
  const rowOf = new Map<number, number>([[0, 0]]);
  const part = {
    parent: [-1],
    frame: [at(tree.frame, 0)],
    totalBytes: [bytes],
    selfBytes: [0],
    ...(tree.sampledBytes === undefined ? {} : { sampledBytes: [0] }),
  };
  for (let row = node; row < tree.parent.length; row++) {
    const above = row === node ? 0 : rowOf.get(at(tree.parent, row));
    // In pre-order the process's nodes stand together.
    if (above === undefined || (row !== node && at(tree.parent, row) === 0)) {
      break;
    }
    rowOf.set(row, part.parent.length);
    part.parent.push(above);
    part.frame.push(at(tree.frame, row));
    part.totalBytes.push(at(tree.totalBytes, row));
    part.selfBytes.push(at(tree.selfBytes, row));
    part.sampledBytes?.push(tree.sampledBytes?.[row] ?? 0);
  }
  const series = processes?.tracked.find((process) => processFrameName(process) === name)?.timeline ?? [];
  const hasSeries = series.length === timeline.seconds.length;
  return {
    ...report,
    peakBytes: bytes,
    retainedBytes: Math.min(report.retainedBytes, bytes),
    tree: part,
    pruned: { nodes: 0, bytes: 0 },
    timeline: hasSeries ? { seconds: timeline.seconds, bytes: [...series] } : { seconds: [], bytes: [] },
    processes: undefined,
  };
}
