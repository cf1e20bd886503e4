/** What a reader of a sampled report has to know where a format has no room for the interval of each figure. */
import type { Report } from '../../../schema/report.js';
import { formatBytes } from '../../../schema/units.js';

/** None for a report that is exact. */
export function samplingRemarks({ sampling }: Report): string[] {
  return sampling === undefined
    ? []
    : [
        `estimates from a sample of one byte in ${formatBytes(sampling.meanBytes)}; fil-profile report tells how sure each line is`,
      ];
}
