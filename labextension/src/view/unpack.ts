/**
 * From the data that a notebook stores to a report. It can come from anywhere, so nothing is trusted before it was checked.
 */
import { Gunzip, strFromU8 } from 'fflate';
import { parseReport, type Report, REPORT_VERSION, ReportEnvelope, ReportError } from '../../../schema/report.js';
import { say } from '../../../schema/words.js';

/** Ours have at most a few megabytes; a small bomb must not fill the browser's memory. */
let largestTextBytes = 64 * 2 ** 20;
const PIECE_BYTES = 16 * 1024;
/** Characters from which on the browser unpacks: about 15,000 nodes. */
const LARGE_BASE64 = 300_000;

/** From now on larger reports are refused. */
export function useLargestReport(mebibytes: number): void {
  largestTextBytes = mebibytes * 2 ** 20;
}

/**
 * The report in an envelope.
 *
 * @param data parsed JSON of any origin.
 * @throws {ReportError} with a sentence for the reader.
 */
export function unpackReport(data: unknown): Report {
  return parseReport(parsed(unzipped(bytesOf(envelopeOf(data).data))));
}

/**
 * The report in an envelope: at once, so that the page doesn't jump, or for large ones later, by the browser's own decompressor, which
 * takes a tenth of the time.
 *
 * @throws {ReportError} as {@link unpackReport}, or the promise is rejected with it.
 */
export function openReport(data: unknown): Report | Promise<Report> {
  const base64 = envelopeOf(data).data;
  return base64.length < LARGE_BASE64 || typeof DecompressionStream === 'undefined'
    ? unpackReport(data)
    : unzippedByBrowser(bytesOf(base64)).then((text) => parseReport(parsed(text)));
}

/** @throws {ReportError} if it is none that this code can read. */
function envelopeOf(data: unknown): ReportEnvelope {
  const version = typeof data === 'object' && data !== null && 'version' in data ? data.version : undefined;
  if (typeof version === 'number' && version > REPORT_VERSION) {
    throw new ReportError(
      say(
        'This report has version %1, this Fil reads versions up to %2. Update filprofiler to read it.',
        version,
        REPORT_VERSION,
      ),
    );
  }
  const envelope = ReportEnvelope.safeParse(data);
  if (!envelope.success) {
    throw new ReportError(
      say('This is not a readable Fil report: its envelope is damaged. Profile again to make a new one.'),
    );
  }
  return envelope.data;
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  try {
    const characters = atob(base64);
    const bytes = new Uint8Array(characters.length);
    for (let place = 0; place < bytes.length; place++) {
      bytes[place] = characters.charCodeAt(place);
    }
    return bytes;
  } catch {
    throw new ReportError(say('This Fil report is damaged: its data is not base64. Profile again to make a new one.'));
  }
}

function unzipped(packed: Uint8Array): string {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const progress = { isComplete: false };
  const gunzip = new Gunzip((chunk, isLast) => {
    length += chunk.length;
    if (length > largestTextBytes) {
      throw tooLarge();
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
    throw new ReportError(
      say("This Fil report is damaged: its data can't be unpacked. Profile again to make a new one."),
    );
  }
  const text = new Uint8Array(length);
  let end = 0;
  for (const chunk of chunks) {
    text.set(chunk, end);
    end += chunk.length;
  }
  if (!progress.isComplete) {
    throw new ReportError(say('This Fil report is cut off after %1 bytes. Profile again to make a new one.', length));
  }
  return strFromU8(text);
}

async function unzippedByBrowser(packed: Uint8Array<ArrayBuffer>): Promise<string> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip')).getReader();
  try {
    for (let next = await reader.read(); next.value !== undefined; next = await reader.read()) {
      length += next.value.length;
      if (length > largestTextBytes) {
        throw tooLarge();
      }
      chunks.push(next.value);
    }
  } catch (error) {
    await reader.cancel().catch(() => undefined);
    if (error instanceof ReportError) {
      throw error;
    }
    throw new ReportError(
      say("This Fil report is damaged or cut off: its data can't be unpacked. Profile again to make a new one."),
    );
  }
  return new Blob(chunks).text();
}

function tooLarge(): ReportError {
  return new ReportError(
    say(
      'This Fil report is larger than %1 MiB unpacked, too large to draw. Raise the limit in the settings, or profile again.',
      largestTextBytes / 2 ** 20,
    ),
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ReportError(
      say('This Fil report is cut off or damaged: its text is not JSON. Profile again to make a new one.'),
    );
  }
}
