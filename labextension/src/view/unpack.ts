/**
 * From the data that a notebook stores to a report. It can come from anywhere, so nothing is trusted before it was checked.
 */
import { Gunzip, strFromU8 } from 'fflate';
import { parseReport, type Report, REPORT_VERSION, ReportEnvelope, ReportError } from '../../../schema/report.js';

/** Ours have at most a few megabytes; a small bomb must not fill the browser's memory. */
const LARGEST_TEXT_BYTES = 64 * 2 ** 20;
const PIECE_BYTES = 16 * 1024;
const RUN_AGAIN = 'Run the cell again to make a new one.';

/**
 * The report in an envelope.
 *
 * @param data parsed JSON of any origin.
 * @throws {ReportError} with a sentence for the reader.
 */
export function unpackReport(data: unknown): Report {
  const version = typeof data === 'object' && data !== null && 'version' in data ? data.version : undefined;
  if (typeof version === 'number' && version > REPORT_VERSION) {
    throw new ReportError(
      `This report has version ${version}, this Fil reads versions up to ${REPORT_VERSION}. Update filprofiler to read it.`,
    );
  }
  const envelope = ReportEnvelope.safeParse(data);
  if (!envelope.success) {
    throw new ReportError(`This is not a readable Fil report: its envelope is damaged. ${RUN_AGAIN}`);
  }
  return parseReport(parsed(unzipped(bytesOf(envelope.data.data))));
}

function bytesOf(base64: string): Uint8Array {
  try {
    const characters = atob(base64);
    const bytes = new Uint8Array(characters.length);
    for (let place = 0; place < bytes.length; place++) {
      bytes[place] = characters.charCodeAt(place);
    }
    return bytes;
  } catch {
    throw new ReportError(`This Fil report is damaged: its data is not base64. ${RUN_AGAIN}`);
  }
}

function unzipped(packed: Uint8Array): string {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const progress = { isComplete: false };
  const gunzip = new Gunzip((chunk, isLast) => {
    length += chunk.length;
    if (length > LARGEST_TEXT_BYTES) {
      throw new ReportError(
        `This Fil report is larger than ${LARGEST_TEXT_BYTES / 2 ** 20} MiB unpacked, too large to draw. ${RUN_AGAIN}`,
      );
    }
    chunks.push(chunk);
    progress.isComplete ||= isLast;
  });
  try {
    // In pieces, so that what a bomb unpacks to is seen before it is all there.
    for (let start = 0; start < packed.length; start += PIECE_BYTES) {
      gunzip.push(packed.subarray(start, start + PIECE_BYTES), start + PIECE_BYTES >= packed.length);
    }
  } catch (error) {
    if (error instanceof ReportError) {
      throw error;
    }
    throw new ReportError(`This Fil report is damaged: its data can't be unpacked. ${RUN_AGAIN}`);
  }
  const text = new Uint8Array(length);
  let end = 0;
  for (const chunk of chunks) {
    text.set(chunk, end);
    end += chunk.length;
  }
  if (!progress.isComplete) {
    throw new ReportError(`This Fil report is cut off after ${length} bytes. ${RUN_AGAIN}`);
  }
  return strFromU8(text);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ReportError(`This Fil report is cut off or damaged: its text is not JSON. ${RUN_AGAIN}`);
  }
}
