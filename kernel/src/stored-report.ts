/**
 * What a program asks about a report that it got before: its lines as a table, and files of it.
 */
import { existsSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import { gunzipSync, strFromU8 } from 'fflate';
import type { LineRecord } from '../../schema/control.js';
import { frameInFull, isUserCode } from '../../schema/places.js';
import { parseReport, type Report, type ReportEnvelope } from '../../schema/report.js';
import { pageTitle } from '../../schema/titles.js';
import { lineRows } from '../../schema/tree/lines.js';
import { foldedFrames } from '../../schema/tree/model.js';
import { reasonOf } from './failure.js';
import { writeAtomically } from './output/atomic.js';
import { collapsedStacks } from './output/collapsed.js';
import { linesCsv } from './output/csv.js';
import { writeReportFiles } from './output/files.js';
import { reportJson } from './output/json.js';
import { toHtmlPage } from './output/page.js';
import { bundledPictureParts, flamegraphSvg } from './output/picture.js';
import { ReportSource } from './report/build.js';

/** The forms of single files, by the ends of their names. */
const FORMS: Readonly<Record<string, (report: Report) => Iterable<string>>> = {
  '.html': (report) => [toHtmlPage(report)],
  '.json': reportJson,
  '.svg': (report) => flamegraphSvg(report, pageTitle(report, 'peak'), 'callees', bundledPictureParts()),
  '.prof': collapsedStacks,
  '.csv': linesCsv,
};

/** @throws {ReportError} if it is none that this code can read. */
export function unpackReport({ data }: ReportEnvelope): Report {
  return parseReport(JSON.parse(strFromU8(gunzipSync(Buffer.from(data, 'base64')))));
}

/** All lines, most bytes first; memory in libraries is charged to the user's lines that called them. */
export function lineRecords(report: Report): LineRecord[] {
  return lineRows(foldedFrames(report), ({ frame }) => isUserCode(frame))
    .sort((a, b) => b.ownBytes - a.ownBytes || b.totalBytes - a.totalBytes)
    .map(({ frame, ownBytes, totalBytes }) => ({
      file: frame.kind === 'python' ? frame.file : '',
      line: frame.line,
      function: frame.kind === 'python' ? frame.function : frameInFull(frame),
      source: frame.sourceLine,
      bytes: ownBytes,
      totalBytes,
    }));
}

/**
 * Writes a report.
 *
 * @param path absolute: a file, by whose end its form is known, or a directory for all of a report's files, made if it does not exist.
 * @returns the files that were written, absolute.
 * @throws {Error} with a sentence for the user.
 */
export function saveReport(report: Report, path: string): string[] {
  const end = extname(path).toLowerCase();
  if (end === '' || (existsSync(path) && statSync(path).isDirectory())) {
    const { files, problems } = writeReportFiles(path, ReportSource.ofReport(report));
    if (problems.length > 0) {
      throw new Error(problems.join('; '));
    }
    return files;
  }
  const form = FORMS[end];
  if (form === undefined) {
    const known = Object.keys(FORMS).join(', ');
    throw new Error(`${path}: a report can't be saved as ${end}. Known are ${known}, and a directory, for all files`);
  }
  try {
    writeAtomically(path, form(report));
  } catch (error) {
    throw new Error(`${path} could not be written: ${reasonOf(error)}`, { cause: error });
  }
  return [path];
}
