/**
 * A report as text of a page at most.
 */
import { frameLabel, subjectLabel } from './places.js';
import type { Report } from './report.js';
import { intervalInWords } from './sampling.js';
import {
  headline,
  pruningStatement,
  residentStatement,
  topLines,
  processesStatement,
  untouchedStatement,
} from './summary.js';
import { formatBytes, formatShare } from './units.js';

const MOST_LINES = 20;
/** `± 0.098 %` */
export const INTERVAL_WIDTH = 9;

/** The headline and the top lines, for a message to a colleague. */
export function reportText(report: Report): string {
  const lines = topLines(report, MOST_LINES).map(({ frame, bytes, sampledBytes }) => {
    const { name, place, source } = frameLabel(frame, report.subject);
    const where = [name, place, source].filter((part) => part !== '').join('  ');
    const amount = formatBytes(bytes).padStart(11);
    const share = formatShare(bytes, report.peakBytes).padStart(7);
    // Beside what it is of, as a share has none.
    const interval =
      report.sampling === undefined
        ? []
        : [intervalInWords(bytes, sampledBytes, report.sampling).padEnd(INTERVAL_WIDTH)];
    return `${[amount, ...interval, share].join(' ')}  ${where}`;
  });
  const remarks = [
    residentStatement(report),
    processesStatement(report),
    untouchedStatement(report),
    pruningStatement(report),
  ].filter((statement) => statement !== null);
  return [
    report.title ?? subjectLabel(report.subject),
    ...headline(report).map((phrases) => phrases.map(({ text }) => text).join('')),
    '',
    ...lines,
    ...(remarks.length === 0 ? [] : ['', ...remarks]),
  ].join('\n');
}
