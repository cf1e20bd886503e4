/** `fil-profile diff`: what holds more and what less than in an earlier report. */
import { frameLabel, frameInFull, isUserCode } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { comparedRows, peakDelta } from '../../../schema/tree/compare.js';
import { type LineRow, lineRows, sortRows } from '../../../schema/tree/lines.js';
import { foldedFrames } from '../../../schema/tree/model.js';
import { formatBytes, formatDelta } from '../../../schema/units.js';
import { reasonOf } from '../failure.js';
import { writeAtomically } from '../output/atomic.js';
import { toHtmlPage } from '../output/page.js';
import { ReportSource } from '../report/build.js';
import { FOR_PAGES } from '../report/prune.js';
import { CommandFailure } from './failure.js';
import { readReport, type StoredReport } from './read-report.js';
import { tell, writeOut } from './say.js';

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
  readonly beforeBytes: number;
  readonly afterBytes: number;
  readonly deltaBytes: number;
}

export function runDiff(beforePath: string, afterPath: string, { format, output, lines }: DiffOptions): void {
  const before = readReport(beforePath);
  const after = readReport(afterPath);
  const small = { before: forPage(before), after: forPage(after) };
  const differences = differencesOf(small.before, small.after);
  if (format === 'json') {
    writeOut(json(before, after, differences));
    return;
  }
  writeOut(text(before, after, differences, lines));
  if (format === 'text') {
    return;
  }
  try {
    const page = toHtmlPage(small.after, {
      moment: after.moment,
      before: { label: `${before.name}, ${formatBytes(before.report.peakBytes)}`, report: small.before },
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
function differencesOf(before: Report, after: Report): Difference[] {
  const rows = comparedRows(ownLines(after), ownLines(before));
  return sortRows(rows, 'delta').flatMap((row) => {
    const deltaBytes = row.deltaBytes ?? 0;
    return deltaBytes === 0
      ? []
      : [{ row, deltaBytes, beforeBytes: row.ownBytes - deltaBytes, afterBytes: row.ownBytes }];
  });
}

/** Memory is charged to the innermost line of the user's own code, as in the report's table. */
function ownLines(report: Report): LineRow[] {
  return lineRows(foldedFrames(report), ({ frame }) => isUserCode(frame));
}

function text(before: StoredReport, after: StoredReport, differences: readonly Difference[], most: number): string {
  const delta = peakDelta(after.report, before.report);
  const table = differences.slice(0, most).map(({ row, beforeBytes, afterBytes, deltaBytes }) => {
    const { name, place, source } = frameLabel(row.frame, after.report.subject);
    const where = [name, place, source].filter((part) => part !== '').join('  ');
    return [formatDelta(deltaBytes), formatBytes(beforeBytes), formatBytes(afterBytes)]
      .map((bytes) => bytes.padStart(11))
      .join('')
      .concat('  ', where);
  });
  const left = differences.length - table.length;
  return [
    `Peak ${formatBytes(before.report.peakBytes)} before, ${formatBytes(after.report.peakBytes)} after: ${formatDelta(delta)}`,
    `  before: ${before.name}`,
    `  after:  ${after.name}`,
    '',
    ...(table.length === 0
      ? ['No line changed.']
      : [`${['Change', 'Before', 'After'].map((head) => head.padStart(11)).join('')}  Where`, ...table]),
    ...(left > 0 ? [`${left === 1 ? '1 more line' : `${left} more lines`} changed less.`] : []),
    '',
  ].join('\n');
}

function json(before: StoredReport, after: StoredReport, differences: readonly Difference[]): string {
  const run = ({ name, report }: StoredReport): object => ({
    report: name,
    peakBytes: report.peakBytes,
    retainedBytes: report.retainedBytes,
  });
  const lines = differences.map(({ row: { frame }, beforeBytes, afterBytes, deltaBytes }) => ({
    where: frameInFull(frame),
    file: frame.file,
    line: frame.line,
    function: frame.function,
    sourceLine: frame.sourceLine,
    beforeBytes,
    afterBytes,
    deltaBytes,
  }));
  const result = {
    before: run(before),
    after: run(after),
    peakDeltaBytes: peakDelta(after.report, before.report),
    lines,
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}
