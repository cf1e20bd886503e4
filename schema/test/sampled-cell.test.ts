import { afterEach, describe, expect, it } from 'vitest';
import { ReportWish, type SampledCell, sampledFigures, SampledNews } from '../sampled-cell.js';
import { useUnits } from '../units.js';

const TOLD: SampledCell = {
  kind: 'cell',
  version: 2,
  serial: 1,
  cellId: 'abc',
  executionCount: 3,
  isRepeated: false,
  peakBytes: 100e6,
  peakSampledBytes: 100e6,
  keptBytes: 50e6,
  keptSampledBytes: 0,
  durationSeconds: 1.5,
  meanBytes: 65_536,
  exactFromBytes: 32_768,
  hasReport: true,
};

afterEach(() => {
  useUnits('binary');
});

describe("a sampled cell's figures", () => {
  it('are peak, kept and time in short', () => {
    expect(sampledFigures(TOLD).short).toBe('Peak 95.4 MiB · kept 47.7 MiB · 1.5 s');
  });

  it('each have their interval in full: what was counted is surer than what is estimated', () => {
    expect(sampledFigures(TOLD).long).toMatch(/Peak 95\.4 MiB \(± 6\.\d %\), kept 47\.7 MiB \(± 0\.\d+ %\)/);
    expect(sampledFigures(TOLD).long).toContain('95 of 100');
  });

  it('are a bound where nothing was seen', () => {
    const nothing = { ...TOLD, peakBytes: 0, peakSampledBytes: 0, keptBytes: 0, hasReport: false };
    expect(sampledFigures(nothing).short).toBe('Peak below 191.7 KiB · 1.5 s');
  });
});

describe('what is said by the comm', () => {
  it('is read if it is of this version', () => {
    expect(SampledNews.safeParse(TOLD).success).toBe(true);
    expect(SampledNews.safeParse({ kind: 'report', version: 2, serial: 1, bundle: null }).success).toBe(true);
    expect(SampledNews.safeParse({ ...TOLD, version: 1 }).success).toBe(false);
    expect(SampledNews.safeParse({ version: 2, cellId: 'abc', bundle: {} }).success).toBe(false);
  });

  it('is a wish for one report at a time', () => {
    expect(ReportWish.safeParse({ report: 7 }).success).toBe(true);
    expect(ReportWish.safeParse({ report: '7' }).success).toBe(false);
    expect(ReportWish.safeParse({}).success).toBe(false);
  });
});
