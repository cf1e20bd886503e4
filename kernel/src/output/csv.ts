/** A report as a table of lines in CSV (RFC 4180). */
import { stringify } from 'csv-stringify/sync';
import { at } from '../../../schema/columns.js';
import { frameAt, frameInFull } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { wholeInterval } from '../../../schema/sampling.js';
import { lineTotals } from './lines.js';

const HEADER = ['file', 'line', 'function', 'source', 'self_bytes', 'total_bytes', 'self_share_of_peak'];
/** Of a sampled report: between which bytes the true figures lie, in 95 of 100 cases. */
const INTERVALS = ['self_low_bytes', 'self_high_bytes', 'total_low_bytes', 'total_high_bytes'];
/** Rows that are turned into text at a time. */
const SLICE = 5_000;
const SHARE_DECIMALS = 6;

/**
 * The table in pieces: a row for each line that allocated or called what did, most own bytes first. `self_bytes` add up to the peak.
 */
export function* linesCsv(report: Report): Generator<string> {
  const { selfBytes, totalBytes, selfSampledBytes, totalSampledBytes } = lineTotals(report);
  const { sampling } = report;
  const bounds = (bytes: number, sampledBytes: number): number[] => {
    const interval = wholeInterval({ bytes, sampledBytes, sampling });
    return interval === undefined ? [] : [interval.lowBytes, interval.highBytes];
  };
  const rows = report.frames.kind
    .map((_, row) => row)
    .filter((row) => report.frames.kind[row] !== 'root' || at(selfBytes, row) > 0)
    .sort((a, b) => at(selfBytes, b) - at(selfBytes, a) || at(totalBytes, b) - at(totalBytes, a) || a - b);
  // A spreadsheet would take a text that begins with "=" for a formula, and run it.
  yield stringify([sampling === undefined ? HEADER : [...HEADER, ...INTERVALS]]);
  for (let start = 0; start < rows.length; start += SLICE) {
    const slice = rows.slice(start, start + SLICE).map((row) => {
      const frame = frameAt(report, row);
      const isPython = frame.kind === 'python';
      return [
        isPython ? frame.file : frameInFull(frame),
        isPython ? frame.line : '',
        frame.function,
        frame.sourceLine,
        at(selfBytes, row),
        at(totalBytes, row),
        (at(selfBytes, row) / Math.max(1, report.peakBytes)).toFixed(SHARE_DECIMALS),
        ...bounds(at(selfBytes, row), at(selfSampledBytes, row)),
        ...bounds(at(totalBytes, row), at(totalSampledBytes, row)),
      ];
    });
    yield stringify(slice, { escape_formulas: true });
  }
}
