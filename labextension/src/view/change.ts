/**
 * How the peaks of two reports differ, in words: no DOM here.
 */
import type { Report } from '../../../schema/report.js';
import { canBeChance, excessInWords, intervalOfChange, peakEstimate } from '../../../schema/sampling.js';
import { say } from '../../../schema/words.js';
import { deltaLevel, peakDelta } from '../../../schema/tree/compare.js';

/** A change, and which colour it has: that of neither where it can be chance. */
export interface ChangeInWords {
  readonly kind: 'less' | 'same' | 'more';
  readonly words: string;
}

/** How a run's peak compares with that of the last one. */
export function sinceLastRun(report: Report, last: Report): ChangeInWords {
  const [now, before] = [peakEstimate(report), peakEstimate(last)];
  const delta = peakDelta(report, last);
  // Two runs of the same code differ by some bytes.
  if (deltaLevel(delta, Math.max(last.peakBytes, report.peakBytes)) === 0) {
    const interval = intervalOfChange(now, before);
    const words =
      interval === '' ? say('as much as in the last run') : say('about as much as in the last run (%1)', interval);
    return { kind: 'same', words };
  }
  const kind = canBeChance(now, before) ? 'same' : delta < 0 ? 'less' : 'more';
  return {
    kind,
    words:
      delta < 0
        ? say('%1 less than in the last run', excessInWords(before, now))
        : say('%1 more than in the last run', excessInWords(now, before)),
  };
}

/** How the peak of a report compares with that of another one. */
export function peakCompared(report: Report, other: Report): string {
  const [now, before] = [peakEstimate(report), peakEstimate(other)];
  const delta = peakDelta(report, other);
  return delta === 0
    ? say('the same peak')
    : delta < 0
      ? say('peak %1 less', excessInWords(before, now))
      : say('peak %1 more', excessInWords(now, before));
}
