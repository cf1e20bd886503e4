/** One report of all machines of a cluster: each process is a frame below the root, at its own peak. */
import { at } from '../../../schema/columns.js';
import type { CellSource } from '../../../schema/control.js';
import { noteText } from '../../../schema/notes.js';
import type { Cluster } from '../../../schema/cluster.js';
import type { TrackedProcess } from '../../../schema/processes.js';
import type { Report, ReportNote, ReportOutcome, ReportSubject } from '../../../schema/report.js';
import { parseReport, REPORT_VERSION } from '../../../schema/report.js';
import { processFrameName } from '../../../schema/tree/of-process.js';
import { displayableReport } from '../commands/displayable-report.js';
import { displayableProcesses, displayableSubject, displayableTitle } from '../report/build.js';
import { ReportMerger } from '../report/merge.js';
import { displayable } from '../report/text.js';
import type { MachineProcess, MachineReport } from './machine-report.js';

/** What the client tells of the profile. */
export interface ClusterContext {
  readonly subject: ReportSubject;
  readonly title: string | null;
  readonly outcome: ReportOutcome;
  /** The notebook's cells, whose functions the workers run. */
  readonly cells: readonly CellSource[];
  readonly missing: Cluster['missing'];
  /** The client's own report, of this process; null if it was not profiled. */
  readonly client: { readonly pid: number; readonly report: Report } | null;
  readonly producer: Report['producer'];
}

const MOST_POINTS = 300;
const LONGEST_NAME = 200;
const LONGEST_LINE = 300;

/** A series of bytes that a process or machine held, on the clock that all have in common. */
interface Series {
  readonly startSeconds: number;
  readonly seconds: readonly number[];
  readonly bytes: readonly number[];
}

interface Part {
  readonly process: Omit<TrackedProcess, 'timeline'>;
  readonly series: Series;
  readonly report: Report;
}

/** @throws {ReportError} if a machine has sent no report that this version can read. */
export function joinMachines(machines: readonly MachineReport[], context: ClusterContext): Report {
  const isOneHost = new Set(machines.map(({ host }) => host)).size === 1;
  const parts = machines.flatMap((machine) => machine.processes.map((each) => partOf(machine, each, isOneHost)));
  const { client } = context;
  if (client !== null) {
    parts.unshift(clientPart(client));
  }
  const cells = new Map(context.cells.map((cell) => [cell.filename, cell]));
  const merger = new ReportMerger('sum');
  if (parts.length === 0) {
    merger.add(emptyReport(context));
  }
  for (const { report, process } of parts) {
    merger.add(belowProcess(withCells(report, cells), processFrameName(process), process.command));
  }
  const starts = parts.map(({ series }) => series.startSeconds);
  const start = starts.length === 0 ? Date.now() / 1000 : starts.reduce((least, each) => Math.min(least, each));
  const end = parts.reduce((most, { process, series }) => {
    const last = series.startSeconds + Math.max(series.seconds.at(-1) ?? 0, process.endedSeconds ?? 0);
    return Math.max(most, last);
  }, start);
  const grid = gridOf(end - start);
  const tracked = parts.map(({ process, series }): TrackedProcess => {
    const later = series.startSeconds - start;
    return {
      ...process,
      beganSeconds: process.beganSeconds + later,
      endedSeconds: process.endedSeconds === null ? null : process.endedSeconds + later,
      timeline: grid.map((moment) => heldAt(series, start + moment)),
    };
  });
  tracked.sort((a, b) => b.peakBytes - a.peakBytes);
  const merged = merger.report(context.producer);
  const cluster = clusterOf(machines, context, isOneHost, start);
  const { outcome } = context;
  const codes: ReportNote['code'][] = [
    ...(cluster.deaths.length > 0 ? (['workers-died'] as const) : []),
    ...(cluster.missing.length > 0 ? (['workers-missing'] as const) : []),
    ...(machines.length > 0 ? (['cluster'] as const) : []),
  ];
  return {
    ...merged,
    merged: undefined,
    title: displayableTitle(context.title),
    subject: displayableSubject(context.subject),
    outcome,
    startedAt: new Date(start * 1000).toISOString(),
    durationSeconds: Math.max(0, end - start),
    timeline: {
      seconds: grid,
      bytes: grid.map((_moment, row) => tracked.reduce((sum, { timeline }) => sum + at(timeline, row), 0)),
    },
    processes: displayableProcesses({
      tracked,
      small: { count: 0, peakBytes: 0 },
      untracked: [],
      refused: machines.reduce((sum, { refused }) => sum + refused, 0),
      boundBytes: 0,
    }),
    cluster,
    notes: [
      ...codes.map((code) => ({ code, text: noteText(code, { outcome, cluster }) })),
      // What is told of the cluster is not told again of each process.
      ...merged.notes.filter(({ code }) => code !== 'merged' && code !== 'process-died' && code !== 'live-snapshot'),
    ],
  };
}

function partOf(machine: MachineReport, process: MachineProcess, isOneHost: boolean): Part {
  const report = displayableReport(parseReport(process.report));
  const { pid, parentPid, command, origin, hasStacks, beganSeconds, endedSeconds } = process;
  return {
    process: {
      pid,
      parentPid,
      name: nameOf(machine, process, isOneHost),
      command: displayable(command, LONGEST_NAME),
      origin,
      hasStacks,
      peakBytes: report.peakBytes,
      jointBytes: report.peakBytes,
      copiedBytes: null,
      beganSeconds,
      endedSeconds,
    },
    series: { startSeconds: startOf(machine), seconds: machine.timeline.seconds, bytes: process.timeline },
    report,
  };
}

function clientPart({ pid, report }: NonNullable<ClusterContext['client']>): Part {
  return {
    process: {
      pid,
      parentPid: null,
      name: 'client',
      command: 'client',
      origin: 'top',
      hasStacks: true,
      peakBytes: report.peakBytes,
      jointBytes: report.peakBytes,
      copiedBytes: null,
      beganSeconds: 0,
      endedSeconds: null,
    },
    series: { startSeconds: Date.parse(report.startedAt) / 1000, ...report.timeline },
    report,
  };
}

function nameOf({ host }: MachineReport, { name }: MachineProcess, isOneHost: boolean): string {
  return displayable(isOneHost ? name : `${name} on ${host}`, LONGEST_NAME);
}

function startOf({ startedAt, clockOffsetSeconds }: MachineReport): number {
  return Date.parse(startedAt) / 1000 + clockOffsetSeconds;
}

function clusterOf(
  machines: readonly MachineReport[],
  { missing, client }: ClusterContext,
  isOneHost: boolean,
  start: number,
): Cluster {
  return {
    hasClient: client !== null,
    machines: machines.map(({ host, processes, peakBytes, boundBytes }) => ({
      host: displayable(host, LONGEST_NAME),
      workers: processes.filter(({ isWorker }) => isWorker).length,
      peakBytes,
      boundBytes,
    })),
    deaths: machines.flatMap((machine) =>
      machine.processes.flatMap((process) => {
        const { death } = process;
        return death === null
          ? []
          : [
              {
                ...death,
                worker: processFrameName({ name: nameOf(machine, process, isOneHost), pid: process.pid }),
                seconds: Math.max(0, startOf(machine) - start + (process.endedSeconds ?? 0)),
                task: displayable(death.task, LONGEST_NAME),
                lines: death.lines.map((line) => displayable(line, LONGEST_LINE)),
              },
            ];
      }),
    ),
    missing: missing.map(({ worker, reason }) => ({
      worker: displayable(worker, LONGEST_NAME),
      reason: displayable(reason, LONGEST_LINE),
    })),
  };
}

/** Code of the notebook that asked, which workers know by IPython's names for its cells. */
function withCells(report: Report, cells: ReadonlyMap<string, CellSource>): Report {
  const { frames } = report;
  const cellOf = frames.file.map((file) => cells.get(file));
  const lines = new Map([...cells.values()].map((cell) => [cell.filename, cell.source.split('\n')]));
  return {
    ...report,
    frames: {
      ...frames,
      file: frames.file.map((file, row) => {
        const cell = cellOf[row];
        return cell === undefined ? file : `Cell [${cell.executionCount}]`;
      }),
      cell: frames.cell.map((cell, row) => cellOf[row]?.executionCount ?? cell),
      sourceLine: frames.sourceLine.map((line, row) => {
        const known = cellOf[row] === undefined ? undefined : lines.get(at(frames.file, row));
        return displayable((known?.[at(frames.line, row) - 1] ?? line).trim(), LONGEST_LINE);
      }),
    },
  };
}

/** Where no worker could be asked there is nothing but the reasons to tell. */
function emptyReport({ subject, outcome, title, producer }: ClusterContext): Report {
  return {
    version: REPORT_VERSION,
    title,
    subject,
    outcome,
    peakBytes: 0,
    retainedBytes: 0,
    residentBeforeBytes: null,
    startedAt: new Date().toISOString(),
    durationSeconds: 0,
    frames: { kind: ['root'], function: [''], file: [''], line: [0], sourceLine: [''], cell: [-1] },
    tree: { parent: [-1], frame: [0], totalBytes: [0], selfBytes: [0] },
    pruned: { nodes: 0, bytes: 0 },
    timeline: { seconds: [], bytes: [] },
    notes: [],
    producer,
  };
}

/** The report's tree below a frame of its process. */
function belowProcess(report: Report, name: string, command: string): Report {
  const { frames, tree } = report;
  const row = frames.kind.length;
  const root = at(tree.frame, 0);
  return {
    ...report,
    frames: {
      kind: [...frames.kind, 'process'],
      function: [...frames.function, name],
      file: [...frames.file, command],
      line: [...frames.line, 0],
      sourceLine: [...frames.sourceLine, ''],
      cell: [...frames.cell, -1],
    },
    tree: {
      parent: [-1, 0, ...tree.parent.slice(1).map((parent) => parent + 1)],
      frame: [root, row, ...tree.frame.slice(1)],
      totalBytes: [report.peakBytes, report.peakBytes, ...tree.totalBytes.slice(1)],
      selfBytes: [0, at(tree.selfBytes, 0), ...tree.selfBytes.slice(1)],
    },
  };
}

function gridOf(durationSeconds: number): number[] {
  const points = durationSeconds > 0 ? MOST_POINTS : 1;
  return Array.from({ length: points }, (_, row) =>
    Number(((durationSeconds * row) / Math.max(1, points - 1)).toFixed(3)),
  );
}

/** The last sample before a moment; nothing before the first. */
function heldAt({ startSeconds, seconds, bytes }: Series, moment: number): number {
  let low = 0;
  let high = seconds.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at(seconds, middle) <= moment - startSeconds + 1e-6) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low === 0 ? 0 : (bytes[low - 1] ?? 0);
}
