import { describe, expect, it } from 'vitest';
import { poissonFrom } from '../fixtures/poisson.js';
import {
  amountInWords,
  canBeChance,
  changeInWords,
  differenceInterval,
  excessInWords,
  inShort,
  intervalInWords,
  intervalOf,
  rangedAmount,
  remainderInWords,
  wholeInterval,
} from '../sampling.js';

const sampling = { meanBytes: 65_536, exactFromBytes: 32_768 };

describe('how sure a sampled figure is', () => {
  it('of many samples, within 2.6 standard deviations', () => {
    const { lowBytes, highBytes } = intervalOf(100e6, 100e6, sampling);
    expect(highBytes - 100e6).toBeCloseTo(2.6 * Math.sqrt(65_536 * 100e6), -3);
    expect(100e6 - lowBytes).toBeCloseTo(highBytes - 100e6, 3);
    expect(intervalInWords(100e6, 100e6, sampling)).toBe('± 6.7 %');
  });

  it('leaves the exact part out', () => {
    const { lowBytes, highBytes } = intervalOf(1e9, 10e6, sampling);
    expect(highBytes - lowBytes).toBeCloseTo(2 * 2.6 * Math.sqrt(65_536 * 10e6), -3);
  });

  it.each([
    // Exact limits of a Poisson count for 99.1 %, those of 2.6 standard deviations: Garwood 1936.
    [1, 0.005, 7.51],
    [3, 0.329, 11.071],
    [9, 3.098, 20.119],
  ])('of %i samples, as a Poisson count', (samples, low, high) => {
    const bytes = samples * 65_536;
    const interval = intervalOf(bytes, bytes, sampling);
    expect(interval.lowBytes / 65_536).toBeCloseTo(low, 1);
    expect(interval.highBytes / 65_536).toBeCloseTo(high, 0);
  });

  it('of a line of which nothing was seen, below three times the mean', () => {
    expect(intervalOf(0, 0, sampling)).toEqual({ lowBytes: 0, highBytes: 2.995732 * 65_536 });
    expect(intervalInWords(65_536, 65_536, sampling)).toBe('between 1 B and 483.4 KiB');
  });

  it('in whole bytes for programs, not narrower, and in the same words as where it was made', () => {
    const figure = { bytes: 100e6, sampledBytes: 100e6, sampling };
    const interval = wholeInterval(figure);
    const { lowBytes, highBytes } = intervalOf(100e6, 100e6, sampling);
    expect(interval).toEqual({ lowBytes: Math.floor(lowBytes), highBytes: Math.ceil(highBytes) });
    expect(rangedAmount(100e6, interval)).toBe(amountInWords(100e6, 100e6, sampling));
    expect(rangedAmount(100e6, undefined)).toBe('95.4 MiB');
    expect(wholeInterval({ ...figure, sampling: undefined })).toBeUndefined();
  });

  it('says nothing where every allocation was counted', () => {
    expect(intervalInWords(100, 0, undefined)).toBe('');
  });
});

describe('how sure a difference of two figures is', () => {
  const counted = (bytes: number) => ({ bytes, sampledBytes: 0, sampling: undefined });
  const estimated = (bytes: number, sampledBytes = bytes) => ({ bytes, sampledBytes, sampling });

  it('less sure than either of two estimates', () => {
    const { lowBytes, highBytes } = differenceInterval(estimated(100e6), estimated(40e6));
    expect(highBytes - 60e6).toBeCloseTo(2.6 * Math.sqrt(65_536 * 140e6), -3);
    expect(60e6 - lowBytes).toBeCloseTo(highBytes - 60e6, 3);
    expect(excessInWords(estimated(100e6), estimated(40e6))).toBe('57.2 MiB (± 13 %)');
  });

  it('as sure as the estimate of the two where the other was counted', () => {
    expect(excessInWords(estimated(100e6), counted(0))).toBe(amountInWords(100e6, 100e6, sampling));
    expect(excessInWords(counted(100e6), counted(60e6))).toBe('38.1 MiB');
  });

  it('no less than nothing where one is a part of the other', () => {
    expect(remainderInWords(estimated(100e6), estimated(100e6))).toMatch(/^0 B \(between 0 B and 9\.\d MiB\)$/);
    expect(remainderInWords(estimated(100e6), counted(40e6))).toBe(excessInWords(estimated(100e6), counted(40e6)));
  });

  it('on either side of nothing where they are of two runs', () => {
    expect(excessInWords(estimated(100e6), estimated(99e6))).toMatch(
      /^976\.6 KiB \(between -8\.\d MiB and 9\.\d+ MiB\)$|^976\.6 KiB \(between -8\.\d MiB and 10\.\d MiB\)$/,
    );
    expect(changeInWords(estimated(99e6), estimated(100e6))).toMatch(
      /^-976\.6 KiB \(between -\d+\.\d MiB and \+8\.\d MiB\)$/,
    );
    expect(changeInWords(estimated(40e6), estimated(100e6))).toBe('-57.2 MiB (± 13 %)');
    expect(changeInWords(counted(5), counted(3))).toBe('+2 B');
  });

  it('can be chance where it is less than its interval, and never of figures that were counted', () => {
    expect(canBeChance(estimated(100e6), estimated(99e6))).toBe(true);
    expect(canBeChance(estimated(100e6), estimated(40e6))).toBe(false);
    expect(canBeChance(counted(1), counted(0))).toBe(false);
    expect(canBeChance(estimated(0), counted(0))).toBe(true);
    // Some small blocks can always have been missed.
    expect(canBeChance(estimated(1e9, 0), counted(1e9 + 100e3))).toBe(true);
    expect(canBeChance(estimated(1e9, 0), counted(1e9 + 1e6))).toBe(false);
  });

  it('is the sum of the variances: a sum of a hundred stacks is ten times as sure as each', () => {
    const reach = (of: { readonly bytes: number; readonly sampledBytes: number }): number => {
      const { lowBytes, highBytes } = intervalOf(of.bytes, of.sampledBytes, sampling);
      return (highBytes - lowBytes) / 2 / of.bytes;
    };
    expect(reach(estimated(1e6)) / reach(estimated(100e6))).toBeCloseTo(10, 6);
  });

  it('stands where there is no room as about so much', () => {
    expect([inShort('1 B', sampling), inShort('1 B', undefined), inShort('+1 B', undefined, sampling)]).toEqual([
      '≈ 1 B',
      '1 B',
      '≈ +1 B',
    ]);
  });

  it('covers the truth of what was freed after a peak, whatever share of the samples is in both', () => {
    const poisson = poissonFrom(1);
    for (const [shared, freed, later] of [
      [50, 20, 0],
      [0, 40, 40],
      [5, 5, 2],
    ] as const) {
      let covered = 0;
      for (let trial = 0; trial < 1000; trial++) {
        const both = poisson(shared);
        const peak = 65_536 * (both + poisson(freed));
        const kept = Math.min(peak, 65_536 * (both + poisson(later)));
        const { lowBytes, highBytes } = differenceInterval(estimated(peak), estimated(kept));
        const truth = 65_536 * (freed - later);
        covered += Number(lowBytes <= truth && truth <= highBytes);
      }
      expect(covered).toBeGreaterThan(950);
    }
  });
});
