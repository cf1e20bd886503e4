/**
 * Snapshots as the addon would return them, made from call stacks in Fil's text form.
 */
import type { Report } from '../../../schema/report.js';
import type { ReportContext } from '../../src/report/build.js';
import type { Snapshot } from '../../src/report/snapshot.js';

const NO_CODE = 0xffffffff;

/** `file:line (function);file:line (function)`, outermost first; empty for memory without a Python stack. */
export interface Stack {
  readonly frames: string;
  readonly peakBytes: number;
  readonly currentBytes?: number;
}

/** The snapshot of a process that held this memory. */
export function snapshotOf(stacks: readonly Stack[]): Snapshot {
  const parent = [0];
  const code = [NO_CODE];
  const line = [0];
  const peak = [0];
  const current = [0];
  const filename: string[] = [];
  const qualifiedName: string[] = [];
  const codeOf = new Map<string, number>();
  const siteOf = new Map<string, number>();
  for (const { frames, peakBytes, currentBytes = 0 } of stacks) {
    let site = 0;
    for (const frame of frames === '' ? [] : frames.split(';')) {
      const match = /^(.*):(\d+) \((.*)\)$/.exec(frame);
      if (match === null) {
        throw new Error(`Not a frame: ${frame}`);
      }
      const [, file = '', number = '', name = ''] = match;
      let codeRow = codeOf.get(`${file} ${name}`);
      if (codeRow === undefined) {
        codeRow = filename.push(file) - 1;
        qualifiedName.push(name);
        codeOf.set(`${file} ${name}`, codeRow);
      }
      const key = `${site} ${codeRow} ${number}`;
      let next = siteOf.get(key);
      if (next === undefined) {
        next = parent.push(site) - 1;
        code.push(codeRow);
        line.push(Number(number));
        peak.push(0);
        current.push(0);
        siteOf.set(key, next);
      }
      site = next;
    }
    peak[site] = (peak[site] ?? 0) + peakBytes;
    current[site] = (current[site] ?? 0) + currentBytes;
  }
  return snapshotOfColumns({ parent, code, line, peak, current, filename, qualifiedName });
}

/** Columns of a snapshot, where a test needs their very order. */
export function snapshotOfColumns(columns: {
  readonly parent: ArrayLike<number>;
  readonly code: ArrayLike<number>;
  readonly line: ArrayLike<number>;
  readonly peak: ArrayLike<number>;
  readonly current?: ArrayLike<number>;
  readonly sampling?: Snapshot['sampling'];
  readonly filename: readonly string[];
  readonly qualifiedName: readonly string[];
  readonly kind?: Snapshot['codes']['kind'];
}): Snapshot {
  return {
    parent: Uint32Array.from(columns.parent),
    code: Uint32Array.from(columns.code),
    line: Int32Array.from(columns.line),
    peakSiteBytes: Float64Array.from(columns.peak),
    currentSiteBytes: Float64Array.from(columns.current ?? new Float64Array(columns.peak.length)),
    codes: {
      filename: columns.filename,
      qualifiedName: columns.qualifiedName,
      firstLine: new Int32Array(columns.filename.length).fill(1),
      kind: columns.kind ?? columns.filename.map(() => 'python' as const),
    },
    failure: null,
    sampling: columns.sampling ?? null,
    degradations: [],
    consistent: true,
    mostUntouchedBytes: 0,
  };
}

/** The context of a cell that ran without an incident. */
export function contextOf(changes: Partial<ReportContext> = {}): ReportContext {
  return {
    subject: { kind: 'cell', executionCount: 7, cellId: 'c7' },
    title: null,
    outcome: { kind: 'completed' },
    cells: new Map(),
    workingDirectory: '/nowhere',
    residentBeforeBytes: 100 * 2 ** 20,
    resident: undefined,
    memoryLimit: null,
    observed: undefined,
    outOfMemory: undefined,
    startedAt: new Date('2026-11-23T00:00:00Z'),
    durationSeconds: 1.5,
    timeline: { seconds: [], bytes: [] },
    producer: { name: 'filprofiler', version: '0.0.0', python: '3.11.7' },
    ...changes,
  };
}

/** A report's tree as lines that a reader can check: two spaces a level, label, total and own bytes. */
export function outline(report: Report): string[] {
  const { parent, frame, totalBytes, selfBytes } = report.tree;
  const depth: number[] = [];
  return parent.map((above, node) => {
    depth[node] = above < 0 ? 0 : (depth[above] ?? 0) + 1;
    const row = frame[node] ?? -1;
    const { kind, function: names, file, line } = report.frames;
    const label = kind[row] === 'python' ? `${file[row]}:${line[row]} (${names[row]})` : `[${kind[row]}]`;
    return `${'  '.repeat(depth[node] ?? 0)}${label} ${totalBytes[node]} ${selfBytes[node]}`;
  });
}
