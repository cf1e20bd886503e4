/**
 * From the tracker's ledger to a report: merge call stacks, choose what to show, order it, add names and source lines. Everything but
 * ordering the few shown nodes is linear in the number of call sites.
 */
import { at } from '../../../schema/columns.js';
import type { CellSource } from '../../../schema/control.js';
import type { Observed } from '../../../schema/observed.js';
import type { OutOfMemory, OutOfMemoryCause } from '../../../schema/out-of-memory.js';
import {
  type FrameKind,
  type Job,
  type MemoryLimit,
  type Report,
  type ReportOutcome,
  type ReportSubject,
  REPORT_VERSION,
} from '../../../schema/report.js';
import { type CallTree, callTreeAtPeak, shortenStacks, totalsOf } from './call-tree.js';
import { FrameCatalog, OTHER_FRAME } from './frames.js';
import { notesOf } from './notes.js';
import { displayableObserved, withoutUnrelatedClues } from './observed.js';
import { chooseNodes, FOR_NOTEBOOKS, type Limits, showsAll } from './prune.js';
import { inPreOrder, type Totals } from './shown-tree.js';
import type { Snapshot } from './snapshot.js';
import { SourceLines } from './source-lines.js';
import { displayable } from './text.js';

/** What a report says besides the figures. */
export interface ReportContext {
  readonly subject: ReportSubject;
  readonly title: string | null;
  readonly outcome: ReportOutcome;
  /** The notebook's cells by the file names of their code. */
  readonly cells: ReadonlyMap<string, CellSource>;
  /** Absolute; the base of relative file names. */
  readonly workingDirectory: string;
  readonly residentBeforeBytes: number | null;
  readonly resident: Report['resident'];
  readonly memoryLimit: MemoryLimit | null;
  /** What the process told at the end; undefined where it could not. */
  readonly observed: Observed | undefined;
  /** Undefined if it was one process. */
  readonly processes?: Report['processes'];
  /** Why memory ran out; undefined if it did not. */
  readonly outOfMemory: OutOfMemoryCause | undefined;
  /** Of a job in production; missing of others. */
  readonly job?: Job;
  readonly startedAt: Date;
  readonly durationSeconds: number;
  readonly timeline: Report['timeline'];
  readonly producer: Report['producer'];
  /** Shared by reports that are made together; one of its own if missing. */
  readonly sources?: SourceLines;
}

const LONGEST_TITLE = 200;
const LONGEST_ARGUMENT = 200;
const MOST_ARGUMENTS = 50;
const LONGEST_COMMAND = 500;
const MOST_LABELS = 50;

/** Everything of a report that no limit changes. */
type Rest = Omit<Report, 'frames' | 'tree' | 'pruned' | 'outOfMemory'>;

/** The request that failed: its stack as frames of whatever the report's table is made of. */
type Request = NonNullable<OutOfMemory['request']>;

/**
 * What was measured, from which reports of different sizes are made: a small one for the notebook, a complete one for programs.
 */
export class ReportSource {
  readonly #tree: CallTree;
  readonly #totals: Totals;
  readonly #otherFrame: number;
  readonly #tableOf: (frames: readonly number[]) => Report['frames'];
  readonly #rest: Rest;
  readonly #outOfMemory: OutOfMemory | undefined;
  /** Nodes that were left out before. */
  readonly #leftOutBefore: number;
  /** The report of the whole tree, which pages and programs have in common where the tree is not very large. */
  #whole: Report | null = null;

  private constructor(
    tree: CallTree,
    totals: Totals,
    otherFrame: number,
    tableOf: (frames: readonly number[]) => Report['frames'],
    rest: Rest,
    leftOutBefore: number,
    outOfMemory: OutOfMemory | undefined,
  ) {
    this.#outOfMemory = outOfMemory;
    this.#tree = tree;
    this.#totals = totals;
    this.#otherFrame = otherFrame;
    this.#tableOf = tableOf;
    this.#rest = rest;
    this.#leftOutBefore = leftOutBefore;
  }

  /** @param snapshot the addon's columns; not changed. */
  static ofSnapshot(snapshot: Snapshot, context: ReportContext): ReportSource {
    const frames = new FrameCatalog(snapshot.codes);
    const { tree, skipped } = shortenStacks(callTreeAtPeak(snapshot, frames));
    const totals = {
      bytes: totalsOf(tree.parent, tree.selfBytes),
      sampledBytes: tree.sampledBytes === null ? null : totalsOf(tree.parent, tree.sampledBytes),
    };
    const { sampling } = snapshot;
    const retainedBytes = snapshot.currentSiteBytes.reduce((sum, bytes) => sum + Math.max(0, bytes), 0);
    const sources = context.sources ?? new SourceLines(context.workingDirectory);
    return new ReportSource(
      tree,
      totals,
      OTHER_FRAME,
      (rows) => frames.table(rows, context.cells, (filename, line) => sources.line(filename, line)),
      {
        version: REPORT_VERSION,
        title: displayableTitle(context.title),
        subject: displayableSubject(context.subject),
        outcome: context.outcome,
        peakBytes: at(totals.bytes, 0),
        retainedBytes,
        residentBeforeBytes: context.residentBeforeBytes,
        resident: context.resident,
        untouchedBytes: Math.max(0, snapshot.mostUntouchedBytes),
        memoryLimit: context.memoryLimit,
        observed: context.observed === undefined ? undefined : displayableObserved(context.observed),
        ...(context.processes === undefined ? {} : { processes: displayableProcesses(context.processes) }),
        ...(sampling === null
          ? {}
          : {
              sampling: {
                meanBytes: sampling.meanBytes,
                exactFromBytes: sampling.exactFromBytes,
                retainedSampledBytes: Math.min(retainedBytes, Math.max(0, retainedBytes - sampling.currentExactBytes)),
              },
            }),
        ...(context.job === undefined ? {} : { job: displayableJob(context.job) }),
        startedAt: context.startedAt.toISOString(),
        durationSeconds: Math.max(0, context.durationSeconds),
        timeline: context.timeline,
        notes: notesOf(snapshot, context.outcome),
        producer: context.producer,
      },
      skipped,
      context.outOfMemory === undefined
        ? undefined
        : { ...context.outOfMemory, request: failedRequest(snapshot, context.outOfMemory, frames) },
    );
  }

  /** From a report that was made before: smaller ones can be made of it. */
  static ofReport(report: Report): ReportSource {
    const { frames, tree, pruned, outOfMemory, ...rest } = report;
    const { tree: named, totals } = withoutOther(tree, frames.kind);
    // One row more, if need be, for an "other" where there was none.
    const known = frames.kind.indexOf('other');
    const otherFrame = known < 0 ? frames.kind.length : known;
    return new ReportSource(
      named,
      totals,
      otherFrame,
      (rows) => rowsOfTable(frames, rows),
      rest,
      pruned.nodes,
      outOfMemory,
    );
  }

  /** A report of at most so many nodes. The sum of `selfBytes` over its tree is its `peakBytes`, to the byte. */
  report(limits: Limits): Report {
    if (!showsAll(this.#tree, limits)) {
      return this.#make(limits);
    }
    this.#whole ??= this.#make(limits);
    return this.#whole;
  }

  #make(limits: Limits): Report {
    const { isShown, leftOut } = chooseNodes(this.#tree, this.#totals.bytes, limits);
    const { frame, otherBytes, ...columns } = inPreOrder(this.#tree, this.#totals, isShown, this.#otherFrame);
    const request = this.#outOfMemory?.request ?? null;
    const { used, rows } = rowsOf([...frame, ...(request?.stack ?? [])]);
    const frames = this.#tableOf(used);
    const { observed } = this.#rest;
    return {
      ...this.#rest,
      observed: observed === undefined ? undefined : withoutUnrelatedClues(observed, frames),
      frames,
      tree: { ...columns, frame: rows.slice(0, frame.length) },
      pruned: { nodes: leftOut + this.#leftOutBefore, bytes: otherBytes },
      ...(this.#outOfMemory === undefined
        ? {}
        : {
            outOfMemory: {
              ...this.#outOfMemory,
              request: request === null ? null : { bytes: request.bytes, stack: rows.slice(frame.length) },
            },
          }),
    };
  }
}

/** Frames of a request's stack that are told; the innermost ones. */
const MOST_REQUEST_FRAMES = 100;

/** The allocation that failed, if that is what the matter is about. */
function failedRequest(
  { failure, parent, code, line }: Snapshot,
  cause: OutOfMemoryCause,
  frames: FrameCatalog,
): Request | null {
  if (failure === null || failure.bytes === 0 || cause.action !== 'raised') {
    return null;
  }
  const stack: number[] = [];
  for (let site = failure.site; site > 0 && stack.length < MOST_REQUEST_FRAMES; site = at(parent, site)) {
    if (!frames.isMachinery(at(code, site))) {
      stack.unshift(frames.ofSite(at(code, site), at(line, site)));
    }
  }
  return { bytes: failure.bytes, stack };
}

/** The report of a snapshot for a notebook. */
export function buildReport(snapshot: Snapshot, context: ReportContext): Report {
  return ReportSource.ofSnapshot(snapshot, context).report(FOR_NOTEBOOKS);
}

/** A report's tree without its nodes "other": what they held is in the totals of their callers only. */
function withoutOther(
  tree: Report['tree'],
  kinds: readonly FrameKind[],
): { readonly tree: CallTree; readonly totals: Totals } {
  const count = tree.parent.length;
  const nodeOf = new Int32Array(count);
  const parent = new Int32Array(count);
  const frame = new Int32Array(count);
  const selfBytes = new Float64Array(count);
  const totals = new Float64Array(count);
  const sampled = tree.sampledBytes === undefined ? null : Float64Array.from(tree.sampledBytes);
  const sampledBelow = sampled === null ? null : totalsOf(Int32Array.from(tree.parent), sampled);
  const sampledBytes = sampled === null ? null : new Float64Array(count);
  const sampledTotals = sampled === null ? null : new Float64Array(count);
  let size = 0;
  for (let row = 0; row < count; row++) {
    const above = row === 0 ? -1 : at(nodeOf, at(tree.parent, row));
    if (row > 0 && (above < 0 || at(kinds, at(tree.frame, row)) === 'other')) {
      // With everything below it, of which our own have nothing.
      nodeOf[row] = -1;
      continue;
    }
    parent[size] = above;
    frame[size] = at(tree.frame, row);
    selfBytes[size] = at(tree.selfBytes, row);
    totals[size] = at(tree.totalBytes, row);
    if (sampled !== null && sampledBelow !== null && sampledBytes !== null && sampledTotals !== null) {
      sampledBytes[size] = at(sampled, row);
      sampledTotals[size] = at(sampledBelow, row);
    }
    nodeOf[row] = size++;
  }
  return {
    tree: {
      size,
      parent: parent.subarray(0, size),
      frame: frame.subarray(0, size),
      selfBytes: selfBytes.subarray(0, size),
      sampledBytes: sampledBytes?.subarray(0, size) ?? null,
    },
    totals: { bytes: totals.subarray(0, size), sampledBytes: sampledTotals?.subarray(0, size) ?? null },
  };
}

/** Some rows of a frame table; a row behind its end is an "other". */
function rowsOfTable(frames: Report['frames'], rows: readonly number[]): Report['frames'] {
  return {
    kind: rows.map((row) => frames.kind[row] ?? 'other'),
    function: rows.map((row) => frames.function[row] ?? ''),
    file: rows.map((row) => frames.file[row] ?? ''),
    line: rows.map((row) => frames.line[row] ?? 0),
    sourceLine: rows.map((row) => frames.sourceLine[row] ?? ''),
    cell: rows.map((row) => frames.cell[row] ?? -1),
  };
}

/** A title as it can be shown. */
export function displayableTitle(title: string | null): string | null {
  return title === null ? null : displayable(title, LONGEST_TITLE);
}

/** Processes as they can be shown: their names and commands are whatever the program made them. */
export function displayableProcesses(processes: NonNullable<Report['processes']>): NonNullable<Report['processes']> {
  return {
    ...processes,
    tracked: processes.tracked.map((each) => ({
      ...each,
      name: displayable(each.name, LONGEST_ARGUMENT),
      command: displayable(each.command, LONGEST_COMMAND),
    })),
    untracked: processes.untracked.map((each) => ({ ...each, command: displayable(each.command, LONGEST_COMMAND) })),
  };
}

/** Names and labels come from the environment. */
function displayableJob({ name, host, pid, labels }: Job): Job {
  return {
    name: displayable(name, LONGEST_TITLE),
    host: displayable(host, LONGEST_TITLE),
    pid,
    labels: Object.fromEntries(
      Object.entries(labels)
        .slice(0, MOST_LABELS)
        .map(([key, value]) => [displayable(key, LONGEST_TITLE), displayable(value, LONGEST_ARGUMENT)]),
    ),
  };
}

/** What was profiled, as it can be shown. */
export function displayableSubject(subject: ReportSubject): ReportSubject {
  switch (subject.kind) {
    case 'cell':
      return subject;
    case 'program':
      return {
        kind: 'program',
        command: subject.command.slice(0, MOST_ARGUMENTS).map((argument) => displayable(argument, LONGEST_ARGUMENT)),
      };
    case 'call':
      return { kind: 'call', name: displayable(subject.name, LONGEST_ARGUMENT) };
  }
}

/** Numbers frames by their first use: the row of each in a table of the `used` ones. */
function rowsOf(frames: readonly number[]): { readonly used: number[]; readonly rows: number[] } {
  const used: number[] = [];
  /** One more than the row; 0 for frames that were not met yet. */
  const rowAfter = new Int32Array(frames.reduce((most, frame) => Math.max(most, frame), 0) + 1);
  const rows = frames.map((frame) => {
    let row = at(rowAfter, frame);
    if (row === 0) {
      row = used.push(frame);
      rowAfter[frame] = row;
    }
    return row - 1;
  });
  return { used, rows };
}
