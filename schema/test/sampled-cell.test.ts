import { describe, expect, it } from 'vitest';
import { largeReport } from '../fixtures/large-report.js';
import { SampledCell, sampledFigures } from '../sampled-cell.js';

const MEAN = 65_536;
const exact = largeReport(50);
const sampledSelf = exact.tree.selfBytes;

/** Sampled where nothing was exact. */
const report = {
  ...exact,
  sampling: { meanBytes: MEAN, exactFromBytes: 32_768 },
  tree: { ...exact.tree, sampledBytes: [...sampledSelf] },
  peakBytes: 100_000_000,
  retainedBytes: 400_000,
  durationSeconds: 1.5,
};

describe('the words for a sampled cell', () => {
  it('are its peak, what it kept and its time, in short', () => {
    expect(sampledFigures(report).short).toBe('Peak 95.4 MiB · kept 390.6 KiB · 1.5 s');
  });

  it('have the interval of each estimate beside it', () => {
    const { long } = sampledFigures(report);
    expect(long).toMatch(/Peak 95\.4 MiB \(± [\d.]+ %\)/);
    expect(long).toMatch(/kept 390\.6 KiB \(between [\d.]+ KiB and [\d.]+ (KiB|MiB)\)/);
    expect(long).toContain('one byte in 64.0 KiB; in 95 of 100 cases');
  });

  it('say of a cell of which nothing was seen how much it may hold', () => {
    const nothing = { ...report, peakBytes: 0, retainedBytes: 0, tree: { ...report.tree, sampledBytes: [0] } };
    expect(sampledFigures(nothing).long).toMatch(/Peak 0 B \(between 0 B and 191\.7 KiB\)/);
  });

  it('give the kept the interval of the peak where they are one', () => {
    const kept = { ...report, retainedBytes: report.peakBytes, tree: { ...report.tree, sampledBytes: [10_000_000] } };
    const [, peak, keptInterval] = /\((± [^)]+)\), kept [^(]+\((± [^)]+)\)/.exec(sampledFigures(kept).long) ?? [];
    expect(keptInterval).toBeDefined();
    expect(keptInterval).toBe(peak);
  });
});

describe('a message about a sampled cell', () => {
  it('is refused if it is of another version, or has no bundle', () => {
    expect(SampledCell.safeParse({ version: 1, cellId: 'a', bundle: {} }).success).toBe(true);
    expect(SampledCell.safeParse({ version: 2, cellId: 'a', bundle: {} }).success).toBe(false);
    expect(SampledCell.safeParse({ version: 1, cellId: 'a', bundle: 'text' }).success).toBe(false);
  });
});
