/**
 * One report of many: of the processes of one job, or of its runs on many days. Reports are added one at a time, so that a thousand take
 * the memory of their common tree.
 */
import { at } from '../../../schema/columns.js';
import { noteText } from '../../../schema/notes.js';
import {
  type FrameKind,
  type Merged,
  type MergeRule,
  type Report,
  type ReportNote,
  REPORT_VERSION,
} from '../../../schema/report.js';
import { subjectLabel } from '../../../schema/places.js';
import { Largest } from './largest.js';

interface Row {
  readonly kind: FrameKind;
  readonly function: string;
  readonly file: string;
  readonly line: number;
  readonly sourceLine: string;
  readonly cell: number;
}

interface Node {
  readonly frame: number;
  readonly children: Map<number, Node>;
  /** As the rule has it: the sum, or, once all reports are there, the most of any. */
  selfBytes: number;
  sampledBytes: number;
  totalBytes: number;
  /** Of the rule `largest`, with in how many reports the stack was. */
  readonly largest: Largest;
  seen: number;
}

const newNode = (frame: number): Node => ({
  frame,
  children: new Map(),
  selfBytes: 0,
  sampledBytes: 0,
  totalBytes: 0,
  largest: new Largest(),
  seen: 0,
});

/** Collects reports. */
export class ReportMerger {
  readonly #rule: MergeRule;
  readonly #frames: Row[] = [];
  readonly #frameNumbers = new Map<string, number>();
  readonly #root: Node;
  readonly #reports: (Merged['reports'][number] & { readonly endedAt: number })[] = [];
  readonly #notes = new Map<string, ReportNote>();
  readonly #titles = new Set<string>();
  #first: Report | null = null;
  #meanBytes = 0;
  #exactFromBytes = 0;
  readonly #retained = { bytes: 0, sampledBytes: 0, isKnown: true };
  #prunedNodes = 0;
  #succeeded = true;

  constructor(rule: MergeRule) {
    this.#rule = rule;
    this.#root = newNode(
      this.#frameNumber({ kind: 'root', function: '', file: '', line: 0, sourceLine: '', cell: -1 }),
    );
  }

  add(report: Report): void {
    this.#first ??= report;
    const name = report.title ?? subjectLabel(report.subject);
    this.#titles.add(name);
    const endedAt = Date.parse(report.startedAt) + report.durationSeconds * 1000;
    const { startedAt, durationSeconds, peakBytes } = report;
    this.#reports.push({ name, startedAt, durationSeconds, peakBytes, endedAt });
    for (const note of report.notes) {
      this.#notes.set(note.code, note);
    }
    this.#meanBytes = Math.max(this.#meanBytes, report.sampling?.meanBytes ?? 0);
    this.#exactFromBytes = Math.max(this.#exactFromBytes, report.sampling?.exactFromBytes ?? 0);
    this.#addRetained(report);
    this.#prunedNodes += report.pruned.nodes;
    this.#succeeded &&= report.outcome.kind === 'completed' || report.outcome.kind === 'running';
    this.#addTree(report);
  }

  /**
   * The report of all that were added.
   *
   * @throws {RangeError} if none was.
   */
  report(producer: Report['producer']): Report {
    const first = this.#first;
    if (first === null) {
      throw new RangeError('No report was added to be merged.');
    }
    const count = this.#reports.length;
    if (this.#rule === 'largest') {
      this.#chooseLargest();
    }
    const tree = this.#columns();
    const reports = this.#reports
      .map(({ name, startedAt, durationSeconds, peakBytes }) => ({ name, startedAt, durationSeconds, peakBytes }))
      .sort((a, b) => Date.parse(a.startedAt) - Date.parse(b.startedAt));
    const merged = { rule: this.#rule, reports };
    const sampling = this.#meanBytes === 0 ? {} : { sampling: this.#sampling(count) };
    const startedAt = reports[0]?.startedAt ?? first.startedAt;
    const endedAt = this.#reports.reduce((latest, each) => Math.max(latest, each.endedAt), 0);
    const title = this.#titles.size === 1 ? [...this.#titles].join('') : `${this.#titles.size} programs`;
    const otherFrames = new Set(this.#frames.flatMap(({ kind }, row) => (kind === 'other' ? [row] : [])));
    return {
      version: REPORT_VERSION,
      title: `${title}, ${count} reports`,
      subject: first.subject,
      outcome: this.#succeeded ? { kind: 'completed' } : { kind: 'error' },
      peakBytes: tree.totalBytes[0] ?? 0,
      retainedBytes: this.#share(this.#retained.bytes),
      residentBeforeBytes: null,
      resident: null,
      memoryLimit: null,
      startedAt,
      durationSeconds: Math.max(0, (endedAt - Date.parse(startedAt)) / 1000),
      frames: {
        kind: this.#frames.map(({ kind }) => kind),
        function: this.#frames.map((row) => row.function),
        file: this.#frames.map(({ file }) => file),
        line: this.#frames.map(({ line }) => line),
        sourceLine: this.#frames.map(({ sourceLine }) => sourceLine),
        cell: this.#frames.map(({ cell }) => cell),
      },
      tree,
      pruned: {
        nodes: this.#prunedNodes,
        bytes: tree.frame.reduce((sum, row, node) => sum + (otherFrames.has(row) ? at(tree.selfBytes, node) : 0), 0),
      },
      timeline: { seconds: [], bytes: [] },
      notes: [
        { code: 'merged', text: noteText('merged', { outcome: first.outcome, merged, ...sampling }) },
        ...this.#notes.values(),
      ],
      merged,
      ...sampling,
      producer,
    };
  }

  /**
   * Runs are independent, so of a sum the variances add, as they do of stacks of one run. The variance of a mean of n is an n-th of that of
   * one, as if it had been sampled so much finer. Of reports that were sampled differently the coarsest counts: no interval is too narrow.
   */
  #sampling(count: number): NonNullable<Report['sampling']> {
    const meanBytes = this.#rule === 'mean' ? Math.max(1, Math.round(this.#meanBytes / count)) : this.#meanBytes;
    const { sampledBytes, isKnown } = this.#retained;
    return {
      meanBytes,
      exactFromBytes: this.#exactFromBytes,
      ...(isKnown ? { retainedSampledBytes: this.#share(sampledBytes) } : {}),
    };
  }

  #addRetained({ retainedBytes, sampling }: Report): void {
    const retained = this.#retained;
    const sampledBytes = sampling === undefined ? 0 : (sampling.retainedSampledBytes ?? null);
    retained.isKnown &&= sampledBytes !== null;
    if (this.#rule !== 'largest') {
      retained.bytes += retainedBytes;
      retained.sampledBytes += sampledBytes ?? 0;
    } else if (retainedBytes >= retained.bytes) {
      retained.bytes = retainedBytes;
      retained.sampledBytes = sampledBytes ?? 0;
    }
  }

  #addTree(report: Report): void {
    const { frames, tree } = report;
    const rows = frames.kind.map((kind, row) =>
      this.#frameNumber({
        kind,
        function: at(frames.function, row),
        file: at(frames.file, row),
        line: at(frames.line, row),
        sourceLine: at(frames.sourceLine, row),
        cell: at(frames.cell, row),
      }),
    );
    const nodes: Node[] = [];
    /** Stacks of a report that look the same are one. */
    const heldBy = new Map<Node, { bytes: number; sampledBytes: number }>();
    for (let row = 0; row < tree.parent.length; row++) {
      const above = row === 0 ? null : nodes[at(tree.parent, row)];
      const node = above ? childOf(above, at(rows, at(tree.frame, row))) : this.#root;
      const held = heldBy.get(node) ?? { bytes: 0, sampledBytes: 0 };
      held.bytes += at(tree.selfBytes, row);
      held.sampledBytes += tree.sampledBytes?.[row] ?? 0;
      heldBy.set(node, held);
      nodes.push(node);
    }
    for (const [node, { bytes, sampledBytes }] of heldBy) {
      if (this.#rule === 'largest') {
        node.largest.add({ bytes, sampledBytes, sampling: report.sampling });
        node.seen += 1;
      } else {
        node.selfBytes += bytes;
        node.sampledBytes += sampledBytes;
      }
    }
  }

  #chooseLargest(): void {
    const sampling = this.#meanBytes === 0 ? undefined : { meanBytes: this.#meanBytes };
    const waiting = [this.#root];
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      const unseen = this.#reports.length - node.seen;
      if (unseen > 0) {
        node.largest.add({ bytes: 0, sampledBytes: 0, sampling }, unseen);
        node.seen += unseen;
      }
      const { bytes, sampledBytes } = node.largest.estimate();
      node.selfBytes = bytes;
      node.sampledBytes = sampledBytes;
      waiting.push(...node.children.values());
    }
  }

  /** What a sum stands for. */
  #share(bytes: number): number {
    return this.#rule === 'mean' ? Math.round(bytes / this.#reports.length) : bytes;
  }

  /** By all that a reader sees of it. */
  #frameNumber(row: Row): number {
    const key = [row.kind, row.function, row.file, row.line, row.sourceLine, row.cell].join('\u0000');
    let number = this.#frameNumbers.get(key);
    if (number === undefined) {
      number = this.#frames.push(row) - 1;
      this.#frameNumbers.set(key, number);
    }
    return number;
  }

  /** In pre-order, siblings from most bytes to least. No recursion: stacks can be deep. */
  #columns(): Report['tree'] {
    const order: Node[] = [];
    const waiting = [this.#root];
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      order.push(node);
      waiting.push(...node.children.values());
    }
    for (const node of order.reverse()) {
      node.totalBytes = this.#share(node.selfBytes);
      for (const child of node.children.values()) {
        node.totalBytes += child.totalBytes;
      }
    }
    const tree = {
      parent: new Array<number>(),
      frame: new Array<number>(),
      totalBytes: new Array<number>(),
      selfBytes: new Array<number>(),
      sampledBytes: new Array<number>(),
    };
    const pending: { readonly node: Node; readonly parent: number }[] = [{ node: this.#root, parent: -1 }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const row = tree.parent.push(next.parent) - 1;
      tree.frame.push(next.node.frame);
      tree.totalBytes.push(next.node.totalBytes);
      tree.selfBytes.push(this.#share(next.node.selfBytes));
      tree.sampledBytes.push(this.#share(next.node.sampledBytes));
      // Most bytes last, to be taken off first.
      for (const node of [...next.node.children.values()].sort((a, b) => a.totalBytes - b.totalBytes)) {
        pending.push({ node, parent: row });
      }
    }
    const { sampledBytes, ...columns } = tree;
    return this.#meanBytes === 0 ? columns : { ...columns, sampledBytes };
  }
}

function childOf(node: Node, frame: number): Node {
  let child = node.children.get(frame);
  if (child === undefined) {
    child = newNode(frame);
    node.children.set(frame, child);
  }
  return child;
}
