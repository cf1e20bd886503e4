/** What a program may hold at most, `--max-peak`. */
import { formatBytes } from '../../../schema/units.js';
import type { ReportOutput } from '../report-job.js';
import { type Ending, isSuccess } from './ending.js';
import { say } from './say.js';

/** Of a program that succeeded, but held more than it may; documented in the help. Python and shells use none near it. */
const ABOVE_BUDGET_STATUS = 54;

/** What the budget is compared with. */
export type PeakSummary = Pick<ReportOutput, 'peakBytes' | 'topLines'>;

/**
 * Tells if the peak is above the budget, and names the lines that held most.
 *
 * @returns the status to end with; null for the program's own: it was within its budget, or its failure is more important.
 */
export function statusForBudget(
  { peakBytes, topLines }: PeakSummary,
  maxPeakBytes: number,
  ending: Ending,
): number | null {
  if (peakBytes <= maxPeakBytes) {
    return null;
  }
  const lines = topLines.length === 0 ? '.' : '. Most was held by:';
  const words = `The peak of ${formatBytes(peakBytes)} is above the ${formatBytes(maxPeakBytes)} of --max-peak${lines}`;
  say([words, ...topLines].join('\n'));
  return isSuccess(ending) ? ABOVE_BUDGET_STATUS : null;
}
