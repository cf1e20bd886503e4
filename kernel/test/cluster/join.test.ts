import { describe, expect, it } from 'vitest';
import type { Cluster } from '../../../schema/cluster.js';
import type { CellSource } from '../../../schema/control.js';
import { parseReport, type Report } from '../../../schema/report.js';
import { byTask } from '../../src/cluster/by-task.js';
import { joinMachines } from '../../src/cluster/join.js';
import { MachineReport } from '../../src/cluster/machine-report.js';
import { buildReport } from '../../src/report/build.js';
import { contextOf, snapshotOf, type Stack } from '../report/snapshots.js';

const producer = { name: 'filprofiler', version: '1', python: '3.12.1' } as const;

const context = contextOf({
  subject: { kind: 'call', name: 'worker' },
  startedAt: new Date('2026-11-23T10:00:00Z'),
  durationSeconds: 10,
});

/** A worker's thread, with its machinery above the task. */
const inTask = (task: string, frames: string): string =>
  `/lib/threading.py:1 (run);/lib/worker.py:2 (apply);<fil task>:7 (${task});${frames}`;

function workerReport(stacks: readonly Stack[]): Report {
  return buildReport(byTask(snapshotOf(stacks)), context);
}

function machine(
  host: string,
  startedAt: string,
  clockOffsetSeconds: number,
  reports: readonly Report[],
): MachineReport {
  return MachineReport.parse({
    format: 1,
    filprofiler: '1',
    host,
    startedAt,
    clockOffsetSeconds,
    durationSeconds: 10,
    peakBytes: 700,
    boundBytes: 10,
    timeline: { seconds: [1, 9], bytes: [100, 700] },
    processes: reports.map((report, nth) => ({
      name: `worker ${nth}`,
      pid: 100 + nth,
      parentPid: 1,
      command: 'python -m dask worker',
      isWorker: true,
      origin: 'executed',
      hasStacks: true,
      beganSeconds: 0,
      endedSeconds: null,
      death: null,
      timeline: [100, 700],
      report,
    })),
    refused: 0,
  });
}

function joined(
  machines: readonly MachineReport[],
  cells: readonly CellSource[] = [],
  missing: Cluster['missing'] = [],
): Report {
  const report = joinMachines(machines, {
    subject: { kind: 'call', name: 'profile' },
    title: null,
    outcome: { kind: 'completed' },
    cells,
    missing,
    client: null,
    producer,
  });
  return parseReport(structuredClone(report));
}

/** Functions from the root down, with the bytes of each node. */
function paths(report: Report): Record<string, number> {
  const names: string[] = [];
  return Object.fromEntries(
    report.tree.parent.map((parent, node) => {
      const row = report.tree.frame[node] ?? 0;
      const name = report.frames.function[row] ?? '';
      names.push(parent < 0 ? '' : `${names[parent] ?? ''}/${name}`);
      return [names[node] ?? '', report.tree.totalBytes[node] ?? 0];
    }),
  );
}

const LOAD: readonly Stack[] = [
  { frames: inTask('load', '/job.py:10 (read)'), peakBytes: 400 },
  { frames: inTask('sum', '/job.py:20 (add)'), peakBytes: 200 },
  { frames: '/lib/asyncio.py:3 (run);/lib/comm.py:4 (receive)', peakBytes: 50 },
];

describe('the reports of a cluster', () => {
  it('have tasks below workers, and beside them what was held outside of tasks', () => {
    const report = joined([machine('host', '2026-11-23T10:00:00Z', 0, [workerReport(LOAD)])]);
    expect(paths(report)).toMatchObject({
      '': 650,
      '/worker 0, pid 100': 650,
      '/worker 0, pid 100/load': 400,
      '/worker 0, pid 100/load/read': 400,
      '/worker 0, pid 100/sum/add': 200,
      '/worker 0, pid 100//run/receive': 50,
    });
    const kinds = report.frames.kind.filter((kind) => kind === 'task');
    expect(kinds).toHaveLength(3);
  });

  it('tell workers of several machines apart and call their sum an upper bound', () => {
    const one = [workerReport(LOAD)];
    const report = joined([
      machine('left', '2026-11-23T10:00:00Z', 0, one),
      machine('right', '2026-11-23T10:00:00Z', 0, one),
    ]);
    expect(report.peakBytes).toBe(1300);
    expect(Object.keys(paths(report))).toEqual(
      expect.arrayContaining(['/worker 0 on left, pid 100', '/worker 0 on right, pid 100']),
    );
    const [note] = report.notes;
    expect(note?.code).toBe('cluster');
    expect(note?.text).toContain('upper bound');
    expect(note?.text).toContain('On left (workers: 1) all processes together held 700 B at the most');
    expect(note?.text).toContain('only approximately the same');
  });

  it('align the curves of machines by the clock that they have in common', () => {
    const one = [workerReport(LOAD)];
    const report = joined([
      machine('left', '2026-11-23T10:00:00Z', 0, one),
      // Its clock is an hour ahead, and it began 5 s later.
      machine('right', '2026-11-23T11:00:05Z', -3600, one),
    ]);
    expect(report.durationSeconds).toBeCloseTo(14, 5);
    const { seconds, bytes } = report.timeline;
    const at = (moment: number): number => bytes[seconds.findLastIndex((each) => each <= moment)] ?? 0;
    expect(at(2)).toBe(100);
    expect(at(7)).toBe(200);
    expect(at(10)).toBe(800);
    expect(at(14)).toBe(1400);
  });

  it("show the code of the client's notebook as its cells", () => {
    const file = '/tmp/ipykernel_1/2.py';
    const worker = workerReport([{ frames: inTask('load', `${file}:2 (read)`), peakBytes: 400 }]);
    const report = joined(
      [machine('host', '2026-11-23T10:00:00Z', 0, [worker])],
      [{ filename: file, executionCount: 7, source: 'def read():\n    return bytes(400)' }],
    );
    const row = report.frames.function.indexOf('read');
    expect(report.frames.file[row]).toBe('Cell [7]');
    expect(report.frames.cell[row]).toBe(7);
    expect(report.frames.sourceLine[row]).toBe('return bytes(400)');
  });

  it('say who is missing where no machine has sent anything', () => {
    const report = joined([], [], [{ worker: 'worker 0 on host', reason: 'not preloaded' }]);
    expect(report.peakBytes).toBe(0);
    expect(report.cluster?.machines).toEqual([]);
    expect(report.notes).toEqual([{ code: 'workers-missing', text: 'Missing here: worker 0 on host: not preloaded' }]);
  });

  it('refuse what is no report', () => {
    const broken = machine('host', '2026-11-23T10:00:00Z', 0, [workerReport(LOAD)]);
    const processes = broken.processes.map((process) => ({ ...process, report: { version: 1 } }));
    expect(() => joined([{ ...broken, processes }])).toThrow('not a readable Fil report');
  });
});
