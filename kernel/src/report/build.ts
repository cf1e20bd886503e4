/**
 * From the tracker's ledger to a report: merge call stacks, choose what to show, order it, add names and source lines. Everything but
 * ordering the few shown nodes is linear in the number of call sites.
 */
import { at } from '../../../schema/columns.js';
import type { CellSource } from '../../../schema/control.js';
import { type Report, type ReportOutcome, type ReportSubject, REPORT_VERSION } from '../../../schema/report.js';
import { type CallTree, callTreeAtPeak, shortenStacks, totalsOf } from './call-tree.js';
import { FrameCatalog, OTHER_FRAME } from './frames.js';
import { notesOf } from './notes.js';
import { chooseNodes } from './prune.js';
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
  readonly startedAt: Date;
  readonly durationSeconds: number;
  readonly timeline: Report['timeline'];
  readonly producer: Report['producer'];
}

const LONGEST_TITLE = 200;
const LONGEST_ARGUMENT = 200;
const MOST_ARGUMENTS = 50;

/**
 * Builds the report of a snapshot. The sum of `selfBytes` over its tree is its `peakBytes`, to the byte.
 *
 * @param snapshot the addon's columns; not changed.
 */
export function buildReport(snapshot: Snapshot, context: ReportContext): Report {
  const frames = new FrameCatalog(snapshot.codes);
  const { tree, skipped } = shortenStacks(callTreeAtPeak(snapshot, frames));
  const totals = totalsOf(tree.parent, tree.selfBytes);
  const { isShown, leftOut } = chooseNodes(tree, totals);
  const shown = inPreOrder(tree, totals, isShown);
  const frameRows = rowsOf(shown.frame);
  const sources = new SourceLines(context.workingDirectory);
  return {
    version: REPORT_VERSION,
    title: context.title === null ? null : displayable(context.title, LONGEST_TITLE),
    subject: displayableSubject(context.subject),
    outcome: context.outcome,
    peakBytes: at(totals, 0),
    retainedBytes: snapshot.currentSiteBytes.reduce((sum, bytes) => sum + Math.max(0, bytes), 0),
    residentBeforeBytes: context.residentBeforeBytes,
    startedAt: context.startedAt.toISOString(),
    durationSeconds: Math.max(0, context.durationSeconds),
    frames: frames.table(frameRows.used, context.cells, (filename, line) => sources.line(filename, line)),
    tree: {
      parent: shown.parent,
      frame: frameRows.rows,
      totalBytes: shown.totalBytes,
      selfBytes: shown.selfBytes,
    },
    pruned: { nodes: leftOut + skipped, bytes: shown.otherBytes },
    timeline: context.timeline,
    notes: notesOf(snapshot, context.outcome),
    producer: context.producer,
  };
}

function displayableSubject(subject: ReportSubject): ReportSubject {
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

interface ShownTree {
  readonly parent: number[];
  readonly frame: number[];
  readonly totalBytes: number[];
  readonly selfBytes: number[];
  /** Bytes of all nodes "other". */
  readonly otherBytes: number;
}

/** A node to write: one of the tree's, or (-1) the "other" of its parent. */
interface Entry {
  readonly node: number;
  readonly frame: number;
  readonly bytes: number;
}

/** The shown part of a tree in pre-order, siblings from most bytes to least. No recursion: stacks can be deep. */
function inPreOrder(tree: CallTree, totals: Float64Array, isShown: Uint8Array): ShownTree {
  const childrenOf = new Map<number, Entry[]>();
  for (let node = 1; node < tree.size; node++) {
    if (at(isShown, node) === 1) {
      const parent = at(tree.parent, node);
      const entry = { node, frame: at(tree.frame, node), bytes: at(totals, node) };
      const siblings = childrenOf.get(parent);
      if (siblings === undefined) {
        childrenOf.set(parent, [entry]);
      } else {
        siblings.push(entry);
      }
    }
  }
  const parent: number[] = [];
  const frame: number[] = [];
  const totalBytes: number[] = [];
  const selfBytes: number[] = [];
  let otherBytes = 0;
  const pending = [{ entry: { node: 0, frame: at(tree.frame, 0), bytes: at(totals, 0) }, parentRow: -1 }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { entry, parentRow } = next;
    const row = parent.length;
    const children = entry.node < 0 ? [] : [...(childrenOf.get(entry.node) ?? [])];
    const self = entry.node < 0 ? entry.bytes : at(tree.selfBytes, entry.node);
    const hidden = children.reduce((rest, child) => rest - child.bytes, entry.bytes - self);
    if (hidden > 0) {
      children.push({ node: -1, frame: OTHER_FRAME, bytes: hidden });
      otherBytes += hidden;
    }
    parent.push(parentRow);
    frame.push(entry.frame);
    totalBytes.push(entry.bytes);
    selfBytes.push(self);
    // Most bytes last, to be taken off first; of equals, "other" comes last in the report and the first allocated comes first.
    children.sort((a, b) => a.bytes - b.bytes || (a.node < 0 ? -1 : b.node < 0 ? 1 : b.node - a.node));
    for (const child of children) {
      pending.push({ entry: child, parentRow: row });
    }
  }
  return { parent, frame, totalBytes, selfBytes, otherBytes };
}

/** Numbers frames by their first use: the row of each in a table of the `used` ones. */
function rowsOf(frames: readonly number[]): { readonly used: number[]; readonly rows: number[] } {
  const used: number[] = [];
  const rowOf = new Map<number, number>();
  const rows = frames.map((frame) => {
    const known = rowOf.get(frame);
    if (known !== undefined) {
      return known;
    }
    rowOf.set(frame, used.length);
    used.push(frame);
    return used.length - 1;
  });
  return { used, rows };
}
