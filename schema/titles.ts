/**
 * What a report is called: the same words on its page, its pictures and in the terminal.
 */
import { subjectLabel } from './places.js';
import type { Report } from './report.js';
import { intervalInWords, sampledPeakBytes } from './sampling.js';
import { formatBytes } from './units.js';

/** The moment that a report shows: when most memory was held, or when there was no more of it. */
export type ReportMoment = 'peak' | 'out-of-memory';

/** `Peak Tracked Memory Usage (76.8 MiB)`, as users of Fil know it; `(76.8 MiB ± 2.1 %)` in a sampled report. */
export function reportTitle(report: Report, moment: ReportMoment): string {
  const { peakBytes, sampling } = report;
  const bytes = `${formatBytes(peakBytes)} ${intervalInWords(peakBytes, sampledPeakBytes(report), sampling)}`.trimEnd();
  switch (moment) {
    case 'peak':
      return `Peak Tracked Memory Usage (${bytes})`;
    case 'out-of-memory':
      return `Tracked Memory When It Ran Out (${bytes})`;
  }
}

/** With what was profiled, to tell a browser's tabs apart. */
export function pageTitle(report: Report, moment: ReportMoment): string {
  return `${reportTitle(report, moment)} · ${report.title ?? subjectLabel(report.subject)}`;
}
