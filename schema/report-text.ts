/**
 * A report as text of a page at most.
 */
import { frameLabel, subjectLabel } from './places.js';
import type { Report } from './report.js';
import { intervalInWords } from './sampling.js';
import {
  headline,
  type Line,
  pruningStatement,
  residentStatement,
  topLines,
  processesStatement,
  untouchedStatement,
} from './summary.js';
import { formatBytes, formatShare } from './units.js';

const MOST_LINES = 20;
/** `± 0.098 %` */
const INTERVAL_WIDTH = 9;

/** What a line held, with the interval in a sampled report, and its share of the peak; aligned with those of other lines. */
export function figuresInColumns(
  { bytes, sampledBytes }: Pick<Line, 'bytes' | 'sampledBytes'>,
  { peakBytes, sampling }: Report,
): string {
  const amount = formatBytes(bytes).padStart(11);
  const share = formatShare(bytes, peakBytes).padStart(7);
  // Beside what it is of, as a share has none.
  const interval =
    sampling === undefined ? [] : [intervalInWords(bytes, sampledBytes, sampling).padEnd(INTERVAL_WIDTH)];
  return [amount, ...interval, share].join(' ');
}

/** The headline and the top lines, for a message to a colleague. */
export function reportText(report: Report): string {
  const lines = topLines(report, MOST_LINES).map((line) => {
    const { name, place, source } = frameLabel(line.frame, report.subject);
    const where = [name, place, source].filter((part) => part !== '').join('  ');
    return `${figuresInColumns(line, report)}  ${where}`;
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
