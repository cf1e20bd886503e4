/**
 * What the pictures draw, from a report: no DOM here.
 */
import { at } from '../columns.js';
import { type Frame, type FrameLabel, frameAt, frameLabel, isMapping, isUserCode } from '../places.js';
import type { Report } from '../report.js';
import { canBeChance, type Estimate, inShort, sampledTotals } from '../sampling.js';
import { formatBytes, formatDelta } from '../units.js';

/** A node of a call tree as the chart wants it. The chart writes `hide` and `fade`. */
export interface FlameFrame {
  /** Number in its tree; 0 is the root. */
  readonly node: number;
  readonly parent: FlameFrame | null;
  readonly children: FlameFrame[];
  readonly depth: number;
  readonly frame: Frame;
  readonly subject: Report['subject'];
  /** Required by the chart, which labels frames by it; our labels are drawn from {@link labelOf}. */
  readonly name: string;
  /**
   * Bytes at the peak of the frame and everything it called (bottom up: that it and its callers held). Of two reports in one tree the room
   * that both need.
   */
  value: number;
  selfBytes: number;
  /** What of its bytes, and of its own, is estimated from samples: 0 in a report that is exact. Of two reports in one tree that of the new one. */
  sampledBytes: number;
  selfSampledBytes: number;
  /** How many frames of libraries are folded into it. */
  foldedFrames: number;
  /** 1 (traces) to {@link HEAT_LEVELS} (most of the peak). */
  readonly heat: number;
  /** What it held in either of two reports; null in a tree of one. */
  compared: Compared | null;
  hide?: boolean;
  fade?: boolean;
}

/** What a frame holds in two reports; 0 bytes where it is only in the other one. */
export interface Compared {
  readonly now: Estimate;
  readonly before: Estimate;
}

/** Bytes that a frame of the report itself held. */
export function heldBytes({ value, compared }: FlameFrame): number {
  return compared === null ? value : compared.now.bytes;
}

/** Bytes more (or, negative, less) than in the report that it is compared with; 0 if with none. */
export function deltaBytes({ compared }: FlameFrame): number {
  return compared === null ? 0 : compared.now.bytes - compared.before.bytes;
}

/** Those, or 0 where a difference of estimates can be chance alone. */
export function certainDeltaBytes(frame: FlameFrame): number {
  const { compared } = frame;
  return compared === null || canBeChance(compared.now, compared.before) ? 0 : deltaBytes(frame);
}

/** What stands on a frame beside its name: what it holds, or by how much it differs. */
export function amountInShort(frame: FlameFrame, { sampling }: Report): string {
  const { compared, value } = frame;
  return compared === null
    ? inShort(formatBytes(value), sampling)
    : inShort(formatDelta(deltaBytes(frame)), compared.now.sampling, compared.before.sampling);
}

/** A call tree in pre-order; the first is the root. */
export type FlameTree = readonly [FlameFrame, ...FlameFrame[]];

/** How many shades there are; each has its colours in style/report.css. */
export const HEAT_LEVELS = 7;

/** Deeper trees are not ours (we shorten stacks before), and the chart's recursion could overflow. */
const DEEPEST = 2_000;

/** Square root, as most frames have a small share of the peak. */
export function heatOf(share: number): number {
  return Math.min(HEAT_LEVELS, 1 + Math.floor(Math.sqrt(Math.max(0, share)) * HEAT_LEVELS));
}

const labels = new WeakMap<FlameFrame, FrameLabel>();

/** What stands on a frame. Made when it is asked for: most frames are too narrow for a label. */
export function labelOf(frame: FlameFrame): FrameLabel {
  let label = labels.get(frame);
  if (label === undefined) {
    label = frameLabel(frame.frame, frame.subject);
    labels.set(frame, label);
  }
  return label;
}

/** A new frame below another one, of which it becomes the last callee. */
export function addFrame(
  report: Report,
  tree: FlameFrame[],
  parent: FlameFrame | null,
  frame: Frame,
  value: number,
  selfBytes: number,
): FlameFrame {
  const depth = parent === null ? 0 : parent.depth + 1;
  if (depth > DEEPEST) {
    throw new RangeError(`The call tree has more than ${DEEPEST} levels.`);
  }
  const made: FlameFrame = {
    node: tree.length,
    parent,
    children: [],
    depth,
    frame,
    subject: report.subject,
    name: '',
    value,
    selfBytes,
    sampledBytes: 0,
    selfSampledBytes: 0,
    foldedFrames: 0,
    heat: heatOf(value / Math.max(1, report.peakBytes)),
    compared: null,
  };
  parent?.children.push(made);
  tree.push(made);
  return made;
}

/** The report's frames and whether each is the user's own. */
export function frameRows(report: Report): { readonly frames: readonly Frame[]; readonly isOwn: readonly boolean[] } {
  const frames = report.frames.kind.map((_, row) => frameAt(report, row));
  return { frames, isOwn: frames.map(isUserCode) };
}

/**
 * The report's call tree, in its order. A fresh tree each time: the chart writes into it.
 *
 * @throws {RangeError} if the tree is too deep to draw.
 */
export function flameFrames(report: Report): FlameTree {
  const { parent, frame: frameOf, totalBytes, selfBytes } = report.tree;
  const { frames } = frameRows(report);
  const sampled = sampledOf(report);
  const tree: FlameFrame[] = [];
  for (let node = 0; node < parent.length; node++) {
    const above = node === 0 ? null : tree[at(parent, node)];
    const frame = frames[at(frameOf, node)];
    if (above === undefined || frame === undefined) {
      throw new RangeError(
        `Node ${node} names frame ${at(frameOf, node)} and parent ${at(parent, node)}; one is missing.`,
      );
    }
    const made = addFrame(report, tree, above, frame, at(totalBytes, node), at(selfBytes, node));
    made.sampledBytes = sampled.total(node);
    made.selfSampledBytes = sampled.self(node);
  }
  return asTree(tree);
}

/** What of a node's bytes, and of its own, is estimated. */
function sampledOf(report: Report): { total(node: number): number; self(node: number): number } {
  const totals = sampledTotals(report);
  return {
    total: (node) => totals?.[node] ?? 0,
    self: (node) => report.tree.sampledBytes?.[node] ?? 0,
  };
}

/**
 * The call tree with the insides of libraries folded away: below a line of the user's code stands the function of a library that it
 * calls, and below that only what comes back to the user's code. What lies between counts as the function's own.
 *
 * @throws {RangeError} if the tree is too deep to draw.
 */
export function foldedFrames(report: Report): FlameTree {
  const { parent, frame: frameOf, totalBytes, selfBytes } = report.tree;
  const { frames, isOwn } = frameRows(report);
  const growing = new Growing(report, frames);
  const sampled = sampledOf(report);
  /** For each node of the report, the frame that shows it. */
  const shownAs: Shown[] = [];
  for (let node = 0; node < parent.length; node++) {
    const row = at(frameOf, node);
    const above = node === 0 ? null : (shownAs[at(parent, node)] ?? null);
    const frame = frames[row];
    // What a library maps for its caller is told apart from what it allocates.
    const isFolded = isOwn[row] !== true && (frame === undefined || !isMapping(frame));
    if (above?.isLibrary === true && isFolded) {
      above.selfBytes += at(selfBytes, node);
      above.selfSampledBytes += sampled.self(node);
      above.folded += 1;
      shownAs.push(above);
    } else {
      const shown = growing.shown(above, row, isOwn[row] === true, at(totalBytes, node), at(selfBytes, node));
      shown.sampledBytes += sampled.total(node);
      shown.selfSampledBytes += sampled.self(node);
      shownAs.push(shown);
    }
  }
  return growing.tree();
}

/** A frame of the folded tree while it grows: which nodes it stands for is known at the end. */
interface Shown {
  readonly row: number;
  readonly key: string;
  readonly children: Map<string, Shown>;
  readonly isLibrary: boolean;
  totalBytes: number;
  selfBytes: number;
  sampledBytes: number;
  selfSampledBytes: number;
  folded: number;
}

class Growing {
  readonly #report: Report;
  readonly #frames: readonly Frame[];
  /** One frame for each function of a library, however many of its lines are on the stacks. */
  readonly #functions = new Map<string, { readonly row: number; isOfSeveralLines: boolean }>();
  #root: Shown | null = null;

  constructor(report: Report, frames: readonly Frame[]) {
    this.#report = report;
    this.#frames = frames;
  }

  shown(above: Shown | null, row: number, isOwn: boolean, totalBytes: number, selfBytes: number): Shown {
    const frame = this.#frames[row];
    const isLibrary = frame?.kind === 'python' && !isOwn;
    // Lines inside a library's function are not what the user can change.
    const key = isLibrary ? `${frame.function}\n${frame.file}` : String(row);
    if (isLibrary) {
      const ofFunction = this.#functions.get(key);
      if (ofFunction === undefined) {
        this.#functions.set(key, { row, isOfSeveralLines: false });
      } else {
        ofFunction.isOfSeveralLines ||= ofFunction.row !== row;
      }
    }
    const known = above?.children.get(key);
    if (known !== undefined) {
      known.totalBytes += totalBytes;
      known.selfBytes += selfBytes;
      return known;
    }
    const made: Shown = {
      row,
      key,
      children: new Map(),
      isLibrary,
      totalBytes,
      selfBytes,
      sampledBytes: 0,
      selfSampledBytes: 0,
      folded: 0,
    };
    if (above === null) {
      this.#root = made;
    } else {
      above.children.set(key, made);
    }
    return made;
  }

  tree(): FlameTree {
    const tree: FlameFrame[] = [];
    const ofFunction = new Map([...this.#functions].map(([key, of]) => [key, this.#frameOfFunction(of)]));
    const frameOf = ({ key, row }: Shown): Frame => ofFunction.get(key) ?? this.#frame(row);
    const pending: { shown: Shown; parent: FlameFrame | null }[] = [];
    if (this.#root !== null) {
      pending.push({ shown: this.#root, parent: null });
    }
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { shown, parent } = next;
      const made = addFrame(this.#report, tree, parent, frameOf(shown), shown.totalBytes, shown.selfBytes);
      made.foldedFrames = shown.folded;
      made.sampledBytes = shown.sampledBytes;
      made.selfSampledBytes = shown.selfSampledBytes;
      const callees = [...shown.children.values()].sort((a, b) => a.totalBytes - b.totalBytes);
      pending.push(...callees.map((callee) => ({ shown: callee, parent: made })));
    }
    return asTree(tree);
  }

  #frameOfFunction({ row, isOfSeveralLines }: { readonly row: number; readonly isOfSeveralLines: boolean }): Frame {
    const frame = this.#frame(row);
    return isOfSeveralLines ? { ...frame, line: 0, sourceLine: '' } : frame;
  }

  #frame(row: number): Frame {
    const frame = this.#frames[row];
    if (frame === undefined) {
      throw new RangeError(`The report has no frame ${row}.`);
    }
    return frame;
  }
}

/** @throws {RangeError} if there is not even a root. */
export function asTree(frames: readonly FlameFrame[]): FlameTree {
  const [root, ...others] = frames;
  if (root === undefined) {
    throw new RangeError('A call tree without a root can not be drawn.');
  }
  return [root, ...others];
}

/** What a search found. */
export interface Matches {
  readonly frames: ReadonlySet<FlameFrame>;
  /** Bytes of the matches and what they called, nothing counted twice. */
  readonly bytes: number;
  /** What of them is estimated from samples. */
  readonly sampledBytes: number;
}

/** Of a search that finds nothing. */
export const NO_MATCHES: Matches = { frames: new Set(), bytes: 0, sampledBytes: 0 };

/**
 * Frames whose function, place, file or source line contains a text, literally, in any case.
 *
 * @param term empty finds nothing.
 */
export function search(frames: readonly FlameFrame[], term: string): Matches {
  const wanted = term.trim().toLowerCase();
  if (wanted === '') {
    return NO_MATCHES;
  }
  // Most frames of a large tree share their row of the table.
  const answers = new Map<Frame, boolean>();
  return matching(frames, (frame) => {
    let answer = answers.get(frame.frame);
    if (answer === undefined) {
      answer = searchText(frame).includes(wanted);
      answers.set(frame.frame, answer);
    }
    return answer;
  });
}

/** Frames that fit a condition. */
export function matching(frames: readonly FlameFrame[], fits: (frame: FlameFrame) => boolean): Matches {
  const found = new Set<FlameFrame>();
  const covered = new Set<FlameFrame>();
  let [bytes, sampledBytes] = [0, 0];
  for (const frame of frames) {
    const isMatch = fits(frame);
    const isCovered = frame.parent !== null && covered.has(frame.parent);
    if (isMatch) {
      found.add(frame);
    }
    if (isMatch && !isCovered) {
      bytes += heldBytes(frame);
      sampledBytes += frame.sampledBytes;
    }
    if (isMatch || isCovered) {
      covered.add(frame);
    }
  }
  return { frames: found, bytes, sampledBytes };
}

function searchText(flame: FlameFrame): string {
  const { frame } = flame;
  const place = frame.line > 0 ? `${frame.file}:${frame.line}` : frame.file;
  const text = `${frame.function}\n${place}\n${frame.sourceLine}`;
  // A library's label is made of the same words.
  const label = frame.kind === 'python' && !isUserCode(frame) ? null : labelOf(flame);
  return (label === null ? text : `${text}\n${label.name}\n${label.place}`).toLowerCase();
}
