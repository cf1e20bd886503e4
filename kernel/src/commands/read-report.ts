/**
 * Reads a report that was written before, from anywhere: everything in it is checked, and nothing of it is executed.
 */
import { closeSync, constants, existsSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseReport, type Report, ReportError } from '../../../schema/report.js';
import type { ReportMoment } from '../../../schema/titles.js';
import { reasonOf } from '../failure.js';
import { REPORT_JSON, STEMS } from '../output/files.js';
import { displayableReport } from './displayable-report.js';
import { CommandFailure } from './failure.js';

/** V8 holds no longer text (2 ** 29 - 24 characters), and each byte of a text can be a character. */
const LARGEST_BYTES = 2 ** 29 - 24;
/** Directories that are told as suggestions. */
const MOST_SUGGESTIONS = 3;

export interface StoredReport {
  readonly report: Report;
  /** As the user named it. */
  readonly name: string;
  /** Which of its moments the run's files show. */
  readonly moment: ReportMoment;
  /** Where it is. */
  readonly directory: string;
}

/**
 * @param path of a `profile.json`, or of the directory that it is in.
 * @throws {CommandFailure} one sentence: what is wrong with which file, and what to do.
 */
export function readReport(path: string): StoredReport {
  const { file, directory } = located(path);
  const report = displayableReport(parsed(textOf(file), file));
  const moment = existsSync(join(directory, `${STEMS['out-of-memory']}.prof`)) ? 'out-of-memory' : 'peak';
  return { report, name: path, moment, directory };
}

function located(path: string): { readonly file: string; readonly directory: string } {
  if (!isDirectory(path)) {
    return { file: path, directory: join(path, '..') };
  }
  const file = join(path, REPORT_JSON);
  if (!existsSync(file)) {
    const inside = reportsIn(path);
    const hint =
      inside.length === 0
        ? 'Name a directory that `fil-profile run` wrote, or its profile.json.'
        : `Name one of the reports in it, such as ${inside.map((name) => join(path, name)).join(', ')}.`;
    throw new CommandFailure(`${path} has no ${REPORT_JSON}. ${hint}`, 2);
  }
  return { file, directory: path };
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw new CommandFailure(
      isMissing(error) ? `${path} does not exist.` : `${path} can't be read: ${reasonOf(error)}.`,
      2,
    );
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

/** Names of the directories with a report in a directory, the latest first: they are named by time. */
function reportsIn(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => existsSync(join(directory, name, REPORT_JSON)))
      .sort()
      .reverse()
      .slice(0, MOST_SUGGESTIONS);
  } catch {
    return [];
  }
}

function textOf(file: string): string {
  try {
    // Opening a pipe for reading would wait for a writer.
    const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const status = fstatSync(descriptor);
      if (!status.isFile()) {
        throw new CommandFailure(
          `${file} is no regular file; name a ${REPORT_JSON} or the directory that it is in.`,
          2,
        );
      }
      if (status.size > LARGEST_BYTES) {
        throw new CommandFailure(`${file} has ${status.size} bytes; Fil reads reports of at most ${LARGEST_BYTES}.`, 1);
      }
      return readFileSync(descriptor, 'utf8');
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw error instanceof CommandFailure ? error : new CommandFailure(`${file} can't be read: ${reasonOf(error)}.`, 1);
  }
}

function parsed(text: string, file: string): Report {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    const isCut = /^\s*\{\s*"version"/.test(text);
    throw new CommandFailure(
      isCut
        ? `${file} is cut off or damaged after ${Buffer.byteLength(text)} bytes: its text is not JSON. Run the program again for a new report.`
        : `${file} is not a report: it is not JSON. Name the ${REPORT_JSON} that \`fil-profile run\` wrote.`,
      1,
    );
  }
  try {
    return parseReport(data);
  } catch (error) {
    if (error instanceof ReportError) {
      throw new CommandFailure(`${file}: ${error.message}`, 1);
    }
    throw error;
  }
}
