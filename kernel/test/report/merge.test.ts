import { describe, expect, it } from 'vitest';
import { poissonFrom } from '../../../schema/fixtures/poisson.js';
import { noteText } from '../../../schema/notes.js';
import { parseReport, type Report } from '../../../schema/report.js';
import { intervalOf, sampledPeakBytes, sampledTotals } from '../../../schema/sampling.js';
import { ReportMerger } from '../../src/report/merge.js';
import { buildReport, type ReportContext } from '../../src/report/build.js';
import { contextOf, snapshotOfColumns } from './snapshots.js';

const producer = { name: 'filprofiler', version: '1', python: '3.12.1' } as const;

const context = (startedAt: string): ReportContext =>
  contextOf({
    subject: { kind: 'program', command: ['python', 'job.py'] },
    title: 'nightly',
    startedAt: new Date(startedAt),
    durationSeconds: 60,
    producer,
  });

/** main (line 1) calls load and compute, each of which holds bytes itself. */
function reportOf(load: number, compute: number, day: string, sampled?: readonly number[]): Report {
  const none = 0xffffffff;
  const snapshot = snapshotOfColumns({
    parent: [0, 0, 0, 2, 2],
    code: [none, none, 0, 1, 2],
    line: [0, 0, 1, 10, 20],
    peak: [0, 0, 0, load, compute],
    filename: ['/job.py', '/job.py', '/job.py'],
    qualifiedName: ['main', 'load', 'compute'],
    ...(sampled === undefined
      ? {}
      : {
          sampling: {
            meanBytes: 65_536,
            exactFromBytes: 32_768,
            peakSiteBytes: Float64Array.from([0, 0, 0, ...sampled]),
            currentExactBytes: 0,
          },
        }),
  });
  return buildReport(snapshot, context(day));
}

function merged(rule: 'sum' | 'largest' | 'mean', reports: readonly Report[]): Report {
  const merger = new ReportMerger(rule);
  for (const report of reports) {
    merger.add(report);
  }
  return parseReport(structuredClone(merger.report(producer)));
}

function bytesOf(report: Report): Record<string, number> {
  return Object.fromEntries(
    report.tree.frame.map((row, node) => [report.frames.function[row] ?? '', report.tree.totalBytes[node] ?? 0]),
  );
}

describe('reports that are merged', () => {
  const days = [reportOf(100, 1000, '2026-11-02T00:00:00Z'), reportOf(500, 300, '2026-11-01T00:00:00Z')];

  it('add up line by line, and say that peaks need not coincide', () => {
    const sum = merged('sum', days);
    expect(bytesOf(sum)).toMatchObject({ main: 1900, load: 600, compute: 1300 });
    expect(sum.peakBytes).toBe(1900);
    expect(sum.notes[0]?.text).toContain('sum of 2 reports');
    expect(sum.title).toBe('nightly, 2 reports');
  });

  it('show of each line the most of any run', () => {
    expect(bytesOf(merged('largest', days))).toMatchObject({ main: 1500, load: 500, compute: 1000 });
  });

  it('show the mean', () => {
    expect(bytesOf(merged('mean', days))).toMatchObject({ main: 950, load: 300, compute: 650 });
  });

  it('are told in the order in which they began, with the time from the first to the last', () => {
    const { merged: of, startedAt, durationSeconds } = merged('sum', days);
    expect(of?.reports.map(({ peakBytes }) => peakBytes)).toEqual([800, 1100]);
    expect(startedAt).toBe('2026-11-01T00:00:00.000Z');
    expect(durationSeconds).toBe(86_400 + 60);
  });

  it('keep siblings in order, most bytes first', () => {
    const names = (report: Report): string[] => report.tree.frame.map((row) => report.frames.function[row] ?? '');
    expect(names(merged('sum', days)).slice(-2)).toEqual(['compute', 'load']);
  });

  it('keep what of the figures is sampled; the mean of n is n times as sure', () => {
    const sampled = [
      reportOf(100, 1000, '2026-11-01T00:00:00Z', [60, 0]),
      reportOf(300, 200, '2026-11-02T00:00:00Z', [20, 0]),
    ];
    expect(merged('sum', sampled).tree.sampledBytes?.reduce((a, b) => a + b)).toBe(80);
    expect(merged('sum', sampled).sampling?.meanBytes).toBe(65_536);
    expect(merged('mean', sampled).tree.sampledBytes?.reduce((a, b) => a + b)).toBe(40);
    expect(merged('mean', sampled).sampling?.meanBytes).toBe(32_768);
    expect(merged('sum', sampled).sampling?.retainedSampledBytes).toBe(
      sampled.reduce((sum, { sampling }) => sum + (sampling?.retainedSampledBytes ?? NaN), 0),
    );
    // The text tells how it was sampled, not how sure the mean is.
    for (const rule of ['sum', 'mean'] as const) {
      const report = merged(rule, sampled);
      expect(noteText('sampled', report)).toContain('one byte in 64.0 KiB');
    }
  });

  it('does not know what of the end is estimated if one of them does not', () => {
    const [one, other] = [1, 2].map((day) => reportOf(100, 1000, `2026-11-0${day}T00:00:00Z`, [60, 0]));
    if (one?.sampling === undefined || other === undefined) {
      throw new Error('They are sampled.');
    }
    const { meanBytes, exactFromBytes } = one.sampling;
    const old = { ...one, sampling: { meanBytes, exactFromBytes } };
    expect(merged('sum', [old, other]).sampling).toEqual({ meanBytes, exactFromBytes });
  });

  describe('by the most of any run', () => {
    const MIB = 2 ** 20;
    const of = (load: number, day: number): Report =>
      reportOf(load, 100 * MIB + day, `2026-11-0${day}T00:00:00Z`, [load, 0]);

    it('tell which held more, where samples can', () => {
      const report = merged('largest', [of(10 * MIB, 1), of(100 * MIB, 2), of(20 * MIB, 3)]);
      expect(bytesOf(report)).toMatchObject({ load: 100 * MIB });
      // What was counted is the most to the byte.
      expect(bytesOf(report)).toMatchObject({ compute: 100 * MIB + 3 });
      expect(sampledPeakBytes(report)).toBe(100 * MIB);
      expect(report.notes[0]?.text).toContain('by their mean');
      expect(merged('largest', days).notes[0]?.text).not.toContain('by their mean');
    });

    it('are not higher by chance', () => {
      const report = merged('largest', [of(10 * MIB, 1), of(11 * MIB, 2), of(9 * MIB, 3)]);
      expect(bytesOf(report)).toMatchObject({ load: 10 * MIB });
      // Seen once in three runs.
      expect(bytesOf(merged('largest', [of(65_536, 1), of(0, 2), of(0, 3)]))['load']).toBe(Math.round(65_536 / 3));
    });
  });

  it.each(['sum', 'mean', 'largest'] as const)('cover what was there, in at least 95 of 100 cases: %s', (rule) => {
    const poisson = poissonFrom(7);
    const seenOf = (bytes: number): number => 65_536 * poisson(bytes / 65_536);
    const truth = { load: 40 * 65_536, compute: 3 * 65_536 };
    const runs = 8;
    const times = rule === 'sum' ? runs : 1;
    let [covered, all] = [0, 0];
    for (let trial = 0; trial < 200; trial++) {
      const report = merged(
        rule,
        Array.from({ length: runs }, () => {
          const seen = [seenOf(truth.load), seenOf(truth.compute)] as const;
          return reportOf(...seen, '2026-11-01T00:00:00Z', seen);
        }),
      );
      const totals = sampledTotals(report) ?? new Float64Array();
      for (const [name, bytes] of [...Object.entries(truth), ['', truth.load + truth.compute] as const]) {
        const node = report.tree.frame.findIndex((row) => report.frames.function[row] === name);
        if (report.sampling === undefined || node < 0) {
          all += 1;
          continue;
        }
        const { lowBytes, highBytes } = intervalOf(
          report.tree.totalBytes[node] ?? 0,
          totals[node] ?? 0,
          report.sampling,
        );
        all += 1;
        covered += Number(lowBytes <= bytes * times && bytes * times <= highBytes);
      }
    }
    expect(covered / all).toBeGreaterThan(0.95);
  });
});
