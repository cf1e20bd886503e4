/** `fil-profile diff`: what holds more and what less than in an earlier report. */
import { frameLabel, frameInFull, isUserCode } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { comparedRows, peakDelta } from '../../../schema/tree/compare.js';
import { type LineRow, lineRows, ownDeltaBytes, ownEstimate, sortRows } from '../../../schema/tree/lines.js';
import { foldedFrames } from '../../../schema/tree/model.js';
import {
  amountInWords,
  changeInWords,
  differenceInterval,
  type Estimate,
  inWholeBytes,
  peakEstimate,
  retainedEstimate,
  wholeInterval,
} from '../../../schema/sampling.js';
import { reasonOf } from '../failure.js';
import { writeAtomically } from '../output/atomic.js';
import { toHtmlPage } from '../output/page.js';
import { ReportSource } from '../report/build.js';
import { FOR_PAGES } from '../report/prune.js';
import { CommandFailure } from './failure.js';
import { readReport, type StoredReport } from './read-report.js';
import { tell, writeOut } from './say.js';

/** Of a table in the terminal, with the room before it. */
const NARROWEST_COLUMN = 11;
const MEANING_OF_INTERVALS =
  'Of what is sampled, the true figures are in 95 of 100 cases within what stands beside the estimates.';

export interface DiffOptions {
  readonly format: 'html' | 'text' | 'json';
  /** The page of `html`. */
  readonly output: string;
  /** Lines that `html` and `text` tell. */
  readonly lines: number;
}

/** A line of either report with what it held, and what it called in libraries. */
interface Difference {
  readonly row: LineRow;
  readonly before: Estimate;
  readonly after: Estimate;
}

export function runDiff(beforePath: string, afterPath: string, { format, output, lines }: DiffOptions): void {
  const before = readReport(beforePath);
  const after = readReport(afterPath);
  const small = { before: forPage(before), after: forPage(after) };
  const differences = differencesOf(small.before, small.after);
  if (format === 'json') {
    writeOut(diffJson(before, after, differences));
    return;
  }
  writeOut(diffText(before, after, differences, lines));
  if (format === 'text') {
    return;
  }
  try {
    const page = toHtmlPage(small.after, {
      moment: after.moment,
      before: { label: `${before.name}, ${amount(peakEstimate(before.report))}`, report: small.before },
    });
    writeAtomically(output, [page]);
  } catch (error) {
    throw new CommandFailure(`${output} could not be written: ${reasonOf(error)}. Name another file with -o.`, 1);
  }
  tell(`Wrote ${output}`);
}

function forPage({ report }: StoredReport): Report {
  return ReportSource.ofReport(report).report(FOR_PAGES);
}

/** All lines that changed, the largest change first. */
export function differencesOf(before: Report, after: Report): Difference[] {
  const rows = comparedRows(ownLines(after), ownLines(before));
  return sortRows(rows, 'delta')
    .filter((row) => ownDeltaBytes(row) !== 0)
    .map((row) => ({ row, before: ownEstimate(row.before, before), after: ownEstimate(row, after) }));
}

/** Memory is charged to the innermost line of the user's own code, as in the report's table. */
function ownLines(report: Report): LineRow[] {
  return lineRows(foldedFrames(report), ({ frame }) => isUserCode(frame));
}

/** The texts of a table's columns with room between them, the last one as long as it is. */
function aligned(rows: readonly (readonly [...figures: string[], where: string])[]): string[] {
  const widths = rows.reduce<number[]>(
    (most, row) => row.map((cell, column) => Math.max(most[column] ?? NARROWEST_COLUMN, cell.length + 2)),
    [],
  );
  return rows.map((row) => {
    const figures = row.slice(0, -1).map((cell, column) => cell.padStart(widths[column] ?? 0));
    return `${figures.join('')}  ${row.at(-1) ?? ''}`;
  });
}

export function diffText(
  before: StoredReport,
  after: StoredReport,
  differences: readonly Difference[],
  most: number,
): string {
  const [earlier, later] = [peakEstimate(before.report), peakEstimate(after.report)];
  const rows = differences.slice(0, most).map((difference): [string, string, string, string] => {
    const { name, place, source } = frameLabel(difference.row.frame, after.report.subject);
    const where = [name, place, source].filter((part) => part !== '').join('  ');
    return [
      changeInWords(difference.after, difference.before),
      amount(difference.before),
      amount(difference.after),
      where,
    ];
  });
  const left = differences.length - rows.length;
  const isSampled = earlier.sampling !== undefined || later.sampling !== undefined;
  return [
    `Peak ${amount(earlier)} before, ${amount(later)} after: ${changeInWords(later, earlier)}`,
    `  before: ${before.name}`,
    `  after:  ${after.name}`,
    '',
    ...(rows.length === 0 ? ['No line changed.'] : aligned([['Change', 'Before', 'After', 'Where'], ...rows])),
    ...(left > 0 ? [`${left === 1 ? '1 more line' : `${left} more lines`} changed less.`] : []),
    ...(isSampled ? ['', MEANING_OF_INTERVALS] : []),
    '',
  ].join('\n');
}

function amount({ bytes, sampledBytes, sampling }: Estimate): string {
  return amountInWords(bytes, sampledBytes, sampling);
}

export function diffJson(before: StoredReport, after: StoredReport, differences: readonly Difference[]): string {
  const [earlier, later] = [peakEstimate(before.report), peakEstimate(after.report)];
  const run = ({ name, report }: StoredReport): object => ({
    report: name,
    peakBytes: report.peakBytes,
    ...intervalNamed('peakInterval', peakEstimate(report)),
    retainedBytes: report.retainedBytes,
    ...intervalNamed('retainedInterval', retainedEstimate(report)),
  });
  const lines = differences.map((difference) => {
    const { frame } = difference.row;
    return {
      where: frameInFull(frame),
      file: frame.file,
      line: frame.line,
      function: frame.function,
      sourceLine: frame.sourceLine,
      beforeBytes: difference.before.bytes,
      ...intervalNamed('beforeInterval', difference.before),
      afterBytes: difference.after.bytes,
      ...intervalNamed('afterInterval', difference.after),
      deltaBytes: difference.after.bytes - difference.before.bytes,
      ...changeNamed('deltaInterval', difference.after, difference.before),
    };
  });
  const result = {
    before: run(before),
    after: run(after),
    peakDeltaBytes: peakDelta(after.report, before.report),
    ...changeNamed('peakDeltaInterval', later, earlier),
    lines,
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}

/** Nothing for a figure that was counted. */
function intervalNamed(name: string, figure: Estimate): object {
  const interval = wholeInterval(figure);
  return interval === undefined ? {} : { [name]: interval };
}

function changeNamed(name: string, now: Estimate, before: Estimate): object {
  return now.sampling === undefined && before.sampling === undefined
    ? {}
    : { [name]: inWholeBytes(differenceInterval(now, before)) };
}
