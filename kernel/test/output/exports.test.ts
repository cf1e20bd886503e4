import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import * as pprof from 'pprof-format';
import { describe, expect, test } from 'vitest';
import { largeReport } from '../../../schema/fixtures/large-report.js';
import { sampledReport } from '../../../schema/fixtures/sampled-report.js';
import { parseReport, type Report } from '../../../schema/report.js';
import { intervalOf, sampledTotals } from '../../../schema/sampling.js';
import { linesCsv } from '../../src/output/csv.js';
import { lineTotals } from '../../src/output/lines.js';
import { toPprof } from '../../src/output/pprof.js';
import { speedscopeJson } from '../../src/output/speedscope.js';
import { ReportSource } from '../../src/report/build.js';
import { COMPLETE } from '../../src/report/prune.js';
import { contextOf, snapshotOf } from '../report/snapshots.js';

function fixture(name: string): Report {
  return parseReport(JSON.parse(readFileSync(new URL(`../../../schema/fixtures/${name}.json`, import.meta.url), 'utf8')));
}

const all = (pieces: Iterable<string>): string => [...pieces].join('');

const small = ReportSource.ofSnapshot(
  snapshotOf([
    { frames: 'main.py:3 (<module>);main.py:9 (walk);main.py:9 (walk);main.py:8 (leaf)', peakBytes: 3000 },
    { frames: 'main.py:3 (<module>);main.py:9 (walk)', peakBytes: 100 },
    { frames: '', peakBytes: 500 },
  ]),
  contextOf({ subject: { kind: 'program', command: ['python', 'main.py'] } }),
).report(COMPLETE);

const reports = { small, pandas: fixture('pandas'), large: largeReport(5000) };

interface Speedscope {
  readonly shared: { readonly frames: readonly { readonly name: string; readonly file?: string; readonly line?: number }[] };
  readonly profiles: readonly { readonly unit: string; readonly samples: number[][]; readonly weights: number[] }[];
}

function speedscopeOf(report: Report): Speedscope {
  return JSON.parse(all(speedscopeJson(report, 'title'))) as Speedscope;
}

describe('speedscope', () => {
  test('has a sample for each call stack, and the weights are the peak', () => {
    const { shared, profiles } = speedscopeOf(small);
    const [profile] = profiles;
    expect(profile?.unit).toBe('bytes');
    const names = profile?.samples.map((rows) => rows.map((row) => shared.frames[row]?.name));
    expect(names).toEqual([
      ['<module>', 'walk'],
      ['<module>', 'walk', 'walk', 'leaf'],
      ['[No Python stack]'],
    ]);
    expect(profile?.weights).toEqual([100, 3000, 500]);
    for (const report of Object.values(reports)) {
      const { samples = [], weights = [] } = speedscopeOf(report).profiles[0] ?? {};
      expect(weights.reduce((sum, weight) => sum + weight, 0)).toBe(report.peakBytes);
      expect(weights).toHaveLength(samples.length);
    }
  });
});

describe('CSV', () => {
  const rowsOf = (report: Report): Record<string, string>[] => parse(all(linesCsv(report)), { columns: true });

  test('has a row for each line, recursive calls once', () => {
    expect(rowsOf(small)).toEqual([
      row('main.py', '8', 'leaf', 3000, 3000, '0.833333'),
      row('[No Python stack]', '', '', 500, 500, '0.138889'),
      row('main.py', '9', 'walk', 100, 3100, '0.027778'),
      row('main.py', '3', '<module>', 0, 3100, '0.000000'),
    ]);
  });

  function row(file: string, line: string, name: string, self: number, total: number, share: string): object {
    const bytes = { self_bytes: String(self), total_bytes: String(total), self_share_of_peak: share };
    return { file, line, function: name, source: '', ...bytes };
  }

  test('of a sampled report has the interval of each figure', () => {
    const sampled = sampledReport(reports.pandas);
    const rows = rowsOf(sampled);
    expect(rows.reduce((sum, { self_bytes }) => sum + Number(self_bytes), 0)).toBe(sampled.peakBytes);
    for (const each of rows) {
      for (const kind of ['self', 'total']) {
        const [low, bytes, high] = ['low_bytes', 'bytes', 'high_bytes'].map((column) => Number(each[`${kind}_${column}`]));
        expect(low).toBeLessThanOrEqual(bytes ?? NaN);
        expect(high).toBeGreaterThan(bytes ?? NaN);
      }
    }
    const most = rows.find(({ source }) => source?.startsWith('late ='));
    const { sampledBytes } = lineRowOf(sampled, most?.['source'] ?? '');
    const { lowBytes } = intervalOf(Number(most?.['total_bytes']), sampledBytes, { meanBytes: 65_536 });
    expect(Number(most?.['total_low_bytes'])).toBe(Math.floor(lowBytes));
    expect(rowsOf(reports.pandas)[0]).not.toHaveProperty('self_low_bytes');
  });

  /** What of all that a line held is estimated, from the tree; it is not recursive. */
  function lineRowOf(report: Report, source: string): { readonly sampledBytes: number } {
    const totals = sampledTotals(report) ?? new Float64Array();
    return {
      sampledBytes: report.tree.frame.reduce(
        (sum, row, node) => sum + (report.frames.sourceLine[row] === source ? (totals[node] ?? 0) : 0),
        0,
      ),
    };
  }

  test('adds up to the peak', () => {
    for (const report of Object.values(reports)) {
      expect(rowsOf(report).reduce((sum, { self_bytes }) => sum + Number(self_bytes), 0)).toBe(report.peakBytes);
    }
  });

  test('gives back every text, but for formulas, which a spreadsheet would run', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('"', ',', '\n', '=', '+', '@', 'a', ' ', ';', "'") }), (text) => {
        const report = { ...small, frames: { ...small.frames, sourceLine: small.frames.kind.map(() => text) } };
        const rows = rowsOf(report);
        expect(rows).toHaveLength(4);
        expect(rows[0]?.['source']).toBe(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
      }),
    );
  });
});

describe('pprof', () => {
  function decoded(report: Report): { stacks: string[]; values: number[]; profile: pprof.Profile } {
    const profile = pprof.Profile.decode(gunzipSync(toPprof(report, 'title')));
    const text = (index: number | bigint): string => profile.stringTable.strings[Number(index)] ?? '';
    const byId = <T extends { id: number | bigint }>(items: readonly T[]): Map<number, T> =>
      new Map(items.map((item) => [Number(item.id), item]));
    const locations = byId(profile.location);
    const functions = byId(profile.function);
    const nameOf = (id: number | bigint): string => {
      const [line] = locations.get(Number(id))?.line ?? [];
      const its = functions.get(Number(line?.functionId ?? 0));
      return `${text(its?.filename ?? 0)}:${Number(line?.line ?? 0)} ${text(its?.name ?? 0)}`;
    };
    return {
      profile,
      stacks: profile.sample.map(({ locationId }) => locationId.map(nameOf).join(' < ')),
      values: profile.sample.map(({ value }) => Number(value[0])),
    };
  }

  test('has a sample for each call stack, innermost frame first, and its values are the peak', () => {
    expect(decoded(small)).toMatchObject({
      stacks: [
        'main.py:9 walk < main.py:3 <module>',
        'main.py:8 leaf < main.py:9 walk < main.py:9 walk < main.py:3 <module>',
        ':0 [No Python stack]',
      ],
      values: [100, 3000, 500],
    });
    for (const report of Object.values(reports)) {
      expect(decoded(report).values.reduce((sum, value) => sum + value, 0)).toBe(report.peakBytes);
    }
  });

  test('says what its values are, and when they were taken', () => {
    const { profile } = decoded(small);
    const [type] = profile.sampleType;
    const strings = profile.stringTable.strings;
    expect([strings[Number(type?.type)], strings[Number(type?.unit)]]).toEqual(['inuse_space', 'bytes']);
    expect(BigInt(profile.timeNanos)).toBe(BigInt(Date.parse(small.startedAt)) * 1_000_000n);
  });
});

test('formats without room for intervals say that they hold estimates, and only of estimates', () => {
  const sampled = sampledReport(small);
  const commentsOf = (report: Report): string[] => {
    const profile = pprof.Profile.decode(gunzipSync(toPprof(report, 'title')));
    return profile.comment.map((index) => profile.stringTable.strings[Number(index)] ?? '');
  };
  expect(commentsOf(small)).toEqual(['title']);
  expect(commentsOf(sampled)).toEqual(['title', expect.stringContaining('one byte in 64.0 KiB')]);
  expect(Number(pprof.Profile.decode(gunzipSync(toPprof(sampled, 'title'))).period)).toBe(65_536);
  const nameOf = (report: Report): unknown => speedscopeOf(report).profiles[0];
  expect(nameOf(small)).toMatchObject({ name: 'title' });
  expect(nameOf(sampled)).toMatchObject({ name: expect.stringMatching(/^title · estimates from a sample/) as string });
});

test('lines of a report hold what the tree holds', () => {
  for (const report of Object.values(reports)) {
    const { selfBytes, totalBytes } = lineTotals(report);
    expect(selfBytes.reduce((sum, bytes) => sum + bytes, 0)).toBe(report.peakBytes);
    expect(totalBytes[report.tree.frame[0] ?? 0]).toBe(report.peakBytes);
    expect(totalBytes.every((bytes, row) => bytes >= (selfBytes[row] ?? 0))).toBe(true);
  }
});
