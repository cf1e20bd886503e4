/**
 * What the flamegraph draws, from a report: no DOM here.
 */
import { at } from '../../../schema/columns.js';
import { type Frame, type FrameLabel, frameAt, frameLabel } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';

/** A node of the call tree as the chart wants it. The chart writes `hide` and `fade`. */
export interface FlameFrame {
  /** Row of the node in the report's tree. */
  readonly node: number;
  readonly parent: FlameFrame | null;
  readonly children: FlameFrame[];
  readonly frame: Frame;
  readonly label: FrameLabel;
  /** Required by the chart, which knows frames by it; our labels are drawn from `label`. */
  readonly name: string;
  /** Bytes at the peak of the frame and everything it called. */
  readonly value: number;
  readonly selfBytes: number;
  /** 1 (traces) to {@link HEAT_LEVELS} (most of the peak). */
  readonly heat: number;
  hide?: boolean;
  fade?: boolean;
}

/** How many shades there are; each has its colours in style/base.css. */
export const HEAT_LEVELS = 7;

/** Deeper trees are not ours (we shorten stacks before), and the chart's recursion could overflow. */
const DEEPEST = 2_000;

/** Square root, as most frames have a small share of the peak. */
export function heatOf(share: number): number {
  return Math.min(HEAT_LEVELS, 1 + Math.floor(Math.sqrt(Math.max(0, share)) * HEAT_LEVELS));
}

/**
 * The frames in the report's order; the first is the root. A fresh tree each time: the chart writes into it.
 *
 * @throws {RangeError} if the tree is too deep to draw.
 */
export function flameFrames(report: Report): readonly [FlameFrame, ...FlameFrame[]] {
  const { parent, frame: frameOf, totalBytes, selfBytes } = report.tree;
  const rows = report.frames.kind.map((_, row) => frameAt(report, row));
  const labels = rows.map((frame) => frameLabel(frame, report.subject));
  const frames: FlameFrame[] = [];
  const depths: number[] = [];
  const make = (node: number, above: FlameFrame | null): FlameFrame => {
    const row = at(frameOf, node);
    const value = at(totalBytes, node);
    const [frame, label] = [rows[row], labels[row]];
    if (frame === undefined || label === undefined) {
      throw new RangeError(`Node ${node} names frame ${row}; the table has ${rows.length}.`);
    }
    const heat = heatOf(value / Math.max(1, report.peakBytes));
    return {
      node,
      parent: above,
      children: [],
      frame,
      label,
      name: label.name,
      value,
      selfBytes: at(selfBytes, node),
      heat,
    };
  };
  const root = make(0, null);
  for (let node = 1; node < parent.length; node++) {
    const aboveNode = at(parent, node);
    const above = aboveNode === 0 ? root : frames[aboveNode - 1];
    if (above === undefined) {
      throw new RangeError(`Node ${node} has parent ${aboveNode}, which does not stand before it.`);
    }
    const depth = (depths[aboveNode] ?? 0) + 1;
    if (depth > DEEPEST) {
      throw new RangeError(`The call tree has more than ${DEEPEST} levels.`);
    }
    depths[node] = depth;
    const made = make(node, above);
    above.children.push(made);
    frames.push(made);
  }
  return [root, ...frames];
}

/** What a search found. */
export interface Matches {
  readonly frames: ReadonlySet<FlameFrame>;
  /** Bytes of the matches and what they called, nothing counted twice. */
  readonly bytes: number;
}

/**
 * Frames whose function, place, file or source line contains a text, literally, in any case.
 *
 * @param term empty finds nothing.
 */
export function search(frames: readonly FlameFrame[], term: string): Matches {
  const found = new Set<FlameFrame>();
  const wanted = term.trim().toLowerCase();
  if (wanted === '') {
    return { frames: found, bytes: 0 };
  }
  const covered = new Set<FlameFrame>();
  let bytes = 0;
  for (const frame of frames) {
    const isMatch = searchText(frame).includes(wanted);
    const isCovered = frame.parent !== null && covered.has(frame.parent);
    if (isMatch) {
      found.add(frame);
      bytes += isCovered ? 0 : frame.value;
    }
    if (isMatch || isCovered) {
      covered.add(frame);
    }
  }
  return { frames: found, bytes };
}

function searchText({ frame, label }: FlameFrame): string {
  const place = frame.line > 0 ? `${frame.file}:${frame.line}` : frame.file;
  return `${label.name}\n${label.place}\n${frame.function}\n${place}\n${frame.sourceLine}`.toLowerCase();
}
