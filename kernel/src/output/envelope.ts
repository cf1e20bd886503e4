/**
 * How a report is stored in a notebook: JSON, gzip, base64.
 */
import { gzipSync, strToU8 } from 'fflate';
import { type Report, type ReportEnvelope, REPORT_VERSION } from '../../../schema/report.js';

/** Packs a report; two equal reports give equal envelopes, so that notebooks under version control stay still. */
export function packReport(report: Report): ReportEnvelope {
  const packed = gzipSync(strToU8(JSON.stringify(report)), { level: 9, mtime: 0 });
  return {
    version: REPORT_VERSION,
    encoding: 'gzip+base64',
    peakBytes: report.peakBytes,
    data: Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength).toString('base64'),
  };
}
