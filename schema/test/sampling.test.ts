import { describe, expect, it } from 'vitest';
import { intervalInWords, intervalOf } from '../sampling.js';

const sampling = { meanBytes: 65_536, exactFromBytes: 32_768 };

describe('how sure a sampled figure is', () => {
  it('of many samples, within 2.2 standard deviations', () => {
    const { lowBytes, highBytes } = intervalOf(100e6, 100e6, sampling);
    expect(highBytes - 100e6).toBeCloseTo(2.2 * Math.sqrt(65_536 * 100e6), -3);
    expect(100e6 - lowBytes).toBeCloseTo(highBytes - 100e6, 3);
    expect(intervalInWords(100e6, 100e6, sampling)).toBe('± 5.6 %');
  });

  it('leaves the exact part out', () => {
    const { lowBytes, highBytes } = intervalOf(1e9, 10e6, sampling);
    expect(highBytes - lowBytes).toBeCloseTo(2 * 2.2 * Math.sqrt(65_536 * 10e6), -3);
  });

  it.each([
    // Exact limits of a Poisson count for 97.2 %, those of 2.2 standard deviations: Garwood 1936.
    [1, 0.014, 6.258],
    [3, 0.494, 9.592],
    [9, 3.709, 18.186],
  ])('of %i samples, as a Poisson count', (samples, low, high) => {
    const bytes = samples * 65_536;
    const interval = intervalOf(bytes, bytes, sampling);
    expect(interval.lowBytes / 65_536).toBeCloseTo(low, 1);
    expect(interval.highBytes / 65_536).toBeCloseTo(high, 0);
  });

  it('of a line of which nothing was seen, below three times the mean', () => {
    expect(intervalOf(0, 0, sampling)).toEqual({ lowBytes: 0, highBytes: 2.995732 * 65_536 });
    expect(intervalInWords(65_536, 65_536, sampling)).toBe('between 247 B and 400.8 KiB');
  });

  it('says nothing where every allocation was counted', () => {
    expect(intervalInWords(100, 0, undefined)).toBe('');
  });
});
