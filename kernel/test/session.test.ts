import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ControlRequest, CONTROL_VERSION } from '../../schema/control.js';
import { parseReport, type Report, REPORT_MIME_TYPE, ReportEnvelope } from '../../schema/report.js';
import type { ReportOutput } from '../src/report-job.js';
import { Session } from '../src/session.js';
import { cellSnapshot } from './cell-snapshot.js';

/** 1000 bytes allocated in line 2 of the cell, half of them still held. */
const SNAPSHOT = cellSnapshot(1000, 500);

const NO_CODES = { filename: [], qualifiedName: [], firstLine: Int32Array.of(), kind: [] };

const HELLO: ControlRequest = {
  type: 'hello',
  id: 1,
  version: CONTROL_VERSION,
  pid: 1,
  pythonVersion: '3.12.1',
  workingDirectory: '/',
};
const BEGIN: ControlRequest = {
  type: 'begin',
  id: 2,
  subject: { kind: 'cell', executionCount: 7, cellId: null },
  title: 'A title',
  cells: [{ filename: '/tmp/cell.py', executionCount: 7, source: 'x = 1\ny = load()' }],
  parentHeader: { msg_id: 'request' },
  outputDirectory: null,
  live: false,
};
const END: ControlRequest = { type: 'end', id: 3, outcome: 'completed' };

function reportOf(output: ReportOutput): Report {
  const { data } = ReportEnvelope.parse(output.bundle[REPORT_MIME_TYPE]);
  return parseReport(JSON.parse(gunzipSync(Buffer.from(data, 'base64')).toString('utf8')));
}

const SEGMENT = {
  counters: () => ({ ...SNAPSHOT, state: 'tracking' as const, sharedBytes: 0 }),
  snapshot: () => SNAPSHOT,
  codes: (from: number) => (from === 0 ? SNAPSHOT.codes : NO_CODES),
  peakLines: () => ({ code: Uint32Array.of(0), line: Int32Array.of(2), bytes: Float64Array.of(1000) }),
};

let session: Session;
beforeEach(() => {
  session = new Session({ segment: SEGMENT, pid: process.pid, version: '1.2.3' });
});

describe('a session', () => {
  test('answers the end of a profile with its report as a MIME bundle', async () => {
    expect(await session.handle(HELLO)).toEqual({ type: 'ok', id: 1 });
    expect(await session.handle(BEGIN)).toEqual({ type: 'ok', id: 2 });
    const reply = await session.handle(END);
    expect(reply).toMatchObject({ type: 'report', id: 3, files: [], filesProblem: null });
    expect(reply.type === 'report' && Object.keys(reply.bundle)).toContain(REPORT_MIME_TYPE);
  });

  test('makes reports of what was said about the process, the cells and the profile', async () => {
    await session.handle(HELLO);
    await session.handle(BEGIN);
    const report = reportOf(await session.end({ kind: 'died', exitCode: null, signal: 'SIGKILL' }));
    expect(report).toMatchObject({
      title: 'A title',
      peakBytes: 1000,
      retainedBytes: 500,
      durationSeconds: 2.5,
      outcome: { kind: 'died', signal: 'SIGKILL' },
      producer: { name: 'filprofiler', version: '1.2.3', python: '3.12.1' },
    });
    expect(report.residentBeforeBytes).toBeGreaterThan(1_000_000);
    expect(report.resident?.peakBytes).toBeGreaterThan(1_000_000);
    expect(report.frames.file).toContain('Cell [7]');
    expect(report.frames.sourceLine).toContain('y = load()');
  });

  test('remembers the cells of earlier profiles', async () => {
    await session.handle(BEGIN);
    await session.handle(END);
    await session.handle({ ...BEGIN, cells: [] });
    expect(reportOf(await session.end({ kind: 'completed' })).frames.file).toContain('Cell [7]');
  });

  test('knows what runs, and that it has ended', async () => {
    expect(session.running).toBeNull();
    await session.handle(BEGIN);
    expect(session.running).toMatchObject({ title: 'A title' });
    await session.handle(END);
    expect(session.running).toBeNull();
  });

  test('forgets a profile that was given up when the next begins', async () => {
    await session.handle(BEGIN);
    expect(await session.handle({ ...BEGIN, id: 9, title: 'The next' })).toEqual({ type: 'ok', id: 9 });
    expect(reportOf(await session.end({ kind: 'completed' })).title).toBe('The next');
  });

  test('forgets a profile that is given up', async () => {
    await session.handle(BEGIN);
    expect(await session.handle({ type: 'cancel', id: 4 })).toEqual({ type: 'ok', id: 4 });
    expect(session.running).toBeNull();
  });

  test('has no report where no profile runs', async () => {
    await expect(session.handle(END)).rejects.toThrow(/No profile is running/);
  });

  test('refuses a process of another version', async () => {
    expect(await session.handle({ ...HELLO, version: CONTROL_VERSION + 1 })).toMatchObject({
      type: 'refused',
      reason: expect.stringContaining('Restart the kernel') as string,
    });
  });
});

describe('report files', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'session-test-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  test('that can’t be written are a problem to tell, and the report is there', async () => {
    const missing = join(directory, 'file', 'inside');
    writeFileSync(join(directory, 'file'), '');
    await session.handle({ ...BEGIN, outputDirectory: missing });
    const reply = await session.handle(END);
    expect(reply).toMatchObject({
      type: 'report',
      files: [],
      filesProblem: expect.stringContaining(missing) as string,
    });
  });
});
