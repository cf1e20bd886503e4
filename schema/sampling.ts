/**
 * How sure the figures of a sampled report are. No DOM and no Node types here.
 *
 * One allocated byte in `meanBytes` was sampled, as a Poisson process: what a line holds is its exact part E (large blocks, mappings)
 * and its sampled part B, of B / meanBytes samples and a variance of meanBytes B. From ten samples on the interval is the normal one,
 * E + B ± z sqrt(meanBytes B); with fewer it is that of a Poisson count (Garwood, "Fiducial limits for the Poisson distribution",
 * Biometrika 28, 1936), whose chi-square quantiles are those of Wilson and Hilferty (PNAS 17, 1931).
 *
 * z is not the normal 1.96: each half of the samples chooses the moment at which the other is read (native/shared/sampled.hpp), so where k
 * moments are equal peaks, the two are not independent: they choose the same with a chance of 1/k, and both are then high. With a the mean
 * of the largest of k normal numbers, that adds (a² / k + (a / (k - 1))² (k - 1) / k) to a variance of 1, which is most for three
 * moments: 0.36. And where a level is held for long, the moment that is chosen is one of many, and lies below the highest of them. 2.6
 * covers 99 % where there is one peak, 97 % where several are equal, and 90 % of such a level (`npm run prove:sampling`).
 */
import { at } from './columns.js';
import type { Report } from './report.js';
import { formatBytes, formatDelta } from './units.js';
import { say } from './words.js';

/** Bytes between which the true figure lies, in 95 of 100 cases. */
export interface Interval {
  readonly lowBytes: number;
  readonly highBytes: number;
}

export const CONFIDENCE = 0.95;
/** Standard deviations to both sides, for that confidence: see above. */
export const REACH = 2.6;
/** With fewer samples the normal interval is too short. */
const ENOUGH_SAMPLES = 10;
/** A line of which nothing was seen holds less than so many times the mean, in 95 of 100 cases: -ln(0.05). */
const UNSEEN_MEANS = 2.995732;

/** How a report was sampled. */
export type Sampling = Pick<NonNullable<Report['sampling']>, 'meanBytes'>;

/**
 * @param bytes the estimate.
 * @param sampledBytes what of it stands for more than was seen, 0 to `bytes`.
 */
export function intervalOf(bytes: number, sampledBytes: number, { meanBytes }: Sampling): Interval {
  const exactBytes = bytes - sampledBytes;
  const samples = sampledBytes / meanBytes;
  if (samples >= ENOUGH_SAMPLES) {
    const reach = REACH * Math.sqrt(meanBytes * sampledBytes);
    return { lowBytes: bytes - reach, highBytes: bytes + reach };
  }
  if (sampledBytes === 0) {
    // Where all that was seen is exact, there can be small blocks that were not.
    return { lowBytes: bytes, highBytes: bytes + mostUnseenBytes({ meanBytes }) };
  }
  return {
    lowBytes: exactBytes + (meanBytes * chiSquare(-REACH, 2 * samples)) / 2,
    highBytes: exactBytes + (meanBytes * chiSquare(REACH, 2 * samples + 2)) / 2,
  };
}

/** What can have been there where nothing was seen, in 95 of 100 cases at most. */
export function mostUnseenBytes({ meanBytes }: Sampling): number {
  return UNSEEN_MEANS * meanBytes;
}

/** The chi-square quantile that belongs to a normal one. */
function chiSquare(quantile: number, degrees: number): number {
  const ninth = 2 / (9 * degrees);
  return degrees * Math.max(0, 1 - ninth + quantile * Math.sqrt(ninth)) ** 3;
}

/** `± 2.1 %`, or `between 0 B and 190 KiB` where it is wider than half of the figure; empty for a report that is exact. */
export function intervalInWords(bytes: number, sampledBytes: number, sampling: Sampling | undefined): string {
  if (sampling === undefined) {
    return '';
  }
  return rangeInWords(bytes, intervalOf(bytes, sampledBytes, sampling));
}

function rangeInWords(bytes: number, { lowBytes, highBytes }: Interval, inWords = formatBytes): string {
  const reach = Math.max(highBytes - bytes, bytes - lowBytes);
  const size = Math.abs(bytes);
  return reach < size / 2
    ? `± ${((100 * reach) / size).toPrecision(2)} %`
    : say('between %1 and %2', inWords(lowBytes), inWords(highBytes));
}

/** `38.1 MiB (± 2.1 %)`; `38.1 MiB` in a report that is exact. */
export function amountInWords(bytes: number, sampledBytes: number, sampling: Sampling | undefined): string {
  return withInterval(formatBytes(bytes), intervalInWords(bytes, sampledBytes, sampling));
}

function withInterval(amount: string, interval: string): string {
  return interval === '' ? amount : `${amount} (${interval})`;
}

/** A figure whose interval is known already; undefined for one that is exact. */
export function rangedAmount(bytes: number, interval: Interval | undefined): string {
  return withInterval(formatBytes(bytes), interval === undefined ? '' : rangeInWords(bytes, interval));
}

/** The interval in whole bytes, for programs; undefined for a figure that was counted. */
export function wholeInterval(figure: Estimate): Interval | undefined {
  return figure.sampling === undefined ? undefined : inWholeBytes(intervalOfEstimate(figure));
}

/** Not narrower. */
export function inWholeBytes({ lowBytes, highBytes }: Interval): Interval {
  return { lowBytes: Math.floor(lowBytes), highBytes: Math.ceil(highBytes) };
}

/** A figure where there is no room for its interval: `≈ 38.1 MiB` in a sampled report. */
export function inShort(amount: string, ...of: readonly (Sampling | undefined)[]): string {
  return of.every((sampling) => sampling === undefined) ? amount : `≈ ${amount}`;
}

/** A figure of a report, which may be sampled. */
export interface Estimate {
  readonly bytes: number;
  /** What of them is estimated. */
  readonly sampledBytes: number;
  readonly sampling: Sampling | undefined;
}

/**
 * Bytes between which lies by how much one figure is above another, or, below 0, under it. It is made of the intervals of both by the method
 * of variance estimates recovery (Zou and Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 27,
 * 2008), as if they were independent, as those of two runs are: where both are of the same samples it is too wide rather than too narrow.
 */
export function differenceInterval(one: Estimate, other: Estimate): Interval {
  const bytes = one.bytes - other.bytes;
  const [ofOne, ofOther] = [intervalOfEstimate(one), intervalOfEstimate(other)];
  return {
    lowBytes: bytes - Math.hypot(one.bytes - ofOne.lowBytes, ofOther.highBytes - other.bytes),
    highBytes: bytes + Math.hypot(ofOne.highBytes - one.bytes, other.bytes - ofOther.lowBytes),
  };
}

/** By how much a figure differs from an earlier one: `+38.1 MiB (± 2.1 %)`, `-1.0 MiB (between -3.0 MiB and +1.0 MiB)`. */
export function changeInWords(now: Estimate, before: Estimate): string {
  const interval = intervalOfChange(now, before);
  return withInterval(formatDelta(now.bytes - before.bytes), interval);
}

/** How sure {@link changeInWords} is; empty where both are exact. */
export function intervalOfChange(now: Estimate, before: Estimate): string {
  return isCounted(now, before)
    ? ''
    : rangeInWords(now.bytes - before.bytes, differenceInterval(now, before), formatDelta);
}

/** Whether a difference can be chance alone; never where both were counted. */
export function canBeChance(now: Estimate, before: Estimate): boolean {
  const { lowBytes, highBytes } = differenceInterval(now, before);
  return !isCounted(now, before) && lowBytes <= 0 && highBytes >= 0;
}

/** By how much one figure is above another that is smaller, as {@link amountInWords}; that of two runs can be below 0 by its interval. */
export function excessInWords(larger: Estimate, smaller: Estimate): string {
  return excess(larger, smaller, differenceInterval(larger, smaller));
}

/** What a whole holds beside a part of it, as {@link amountInWords}: not less than nothing. */
export function remainderInWords(whole: Estimate, part: Estimate): string {
  const { lowBytes, highBytes } = differenceInterval(whole, part);
  return excess(whole, part, { lowBytes: Math.max(0, lowBytes), highBytes });
}

function excess(larger: Estimate, smaller: Estimate, interval: Interval): string {
  const bytes = larger.bytes - smaller.bytes;
  return withInterval(formatBytes(bytes), isCounted(larger, smaller) ? '' : rangeInWords(bytes, interval));
}

function isCounted(one: Estimate, other: Estimate): boolean {
  return one.sampling === undefined && other.sampling === undefined;
}

/** That of a figure, of no width if it was counted. */
export function intervalOfEstimate({ bytes, sampledBytes, sampling }: Estimate): Interval {
  return sampling === undefined ? { lowBytes: bytes, highBytes: bytes } : intervalOf(bytes, sampledBytes, sampling);
}

/** For each node of the call tree what of its `totalBytes` is estimated; null for a report that is exact. */
export function sampledTotals({ tree: { parent, sampledBytes } }: Pick<Report, 'tree'>): Float64Array | null {
  if (sampledBytes === undefined) {
    return null;
  }
  const totals = Float64Array.from(sampledBytes);
  for (let node = totals.length - 1; node > 0; node--) {
    const above = at(parent, node);
    totals[above] = at(totals, above) + at(totals, node);
  }
  return totals;
}

/** What is estimated of the part of the peak that was kept: all, of which the interval is the widest, where that is not known. */
export function sampledKeptBytes(keptBytes: number, sampling: Report['sampling']): number {
  return sampling === undefined ? 0 : Math.min(keptBytes, sampling.retainedSampledBytes ?? keptBytes);
}

/** What of the peak is estimated. */
export function sampledPeakBytes({ tree }: Report): number {
  return (tree.sampledBytes ?? []).reduce((sum, bytes) => sum + bytes, 0);
}

/** What a report's code held at its end, as a figure. */
export function retainedEstimate({ retainedBytes: bytes, sampling }: Report): Estimate {
  return { bytes, sampledBytes: sampledKeptBytes(bytes, sampling), sampling };
}

/** A report's peak, as a figure. */
export function peakEstimate(report: Report): Estimate {
  return { bytes: report.peakBytes, sampledBytes: sampledPeakBytes(report), sampling: report.sampling };
}
