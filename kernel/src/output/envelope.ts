/**
 * How a report is stored in a notebook and in its page: JSON, gzip, base64.
 */
import { gzipSync } from 'node:zlib';
import { peakEstimate, wholeInterval } from '../../../schema/sampling.js';
import { type Report, type ReportEnvelope, REPORT_VERSION } from '../../../schema/report.js';

/** JSON from which on the last per cents of compression cost more time than anybody wants to wait. */
const LARGE_CHARACTERS = 2 ** 21;

/** Packs a report; two equal reports give equal envelopes, so that notebooks under version control stay still. */
export function packReport(report: Report): ReportEnvelope {
  const text = JSON.stringify(report);
  const peakInterval = wholeInterval(peakEstimate(report));
  // Node writes no time into the header.
  const packed = gzipSync(text, { level: text.length < LARGE_CHARACTERS ? 9 : 4 });
  return {
    version: REPORT_VERSION,
    encoding: 'gzip+base64',
    peakBytes: report.peakBytes,
    ...(peakInterval === undefined ? {} : { peakInterval }),
    data: packed.toString('base64'),
  };
}
