/** `fil-profile export`: a report in the formats of other tools. */
import { isatty } from 'node:tty';
import { pageTitle } from '../../../schema/titles.js';
import type { Report } from '../../../schema/report.js';
import { reasonOf } from '../failure.js';
import { writeAtomically } from '../output/atomic.js';
import { collapsedStacks } from '../output/collapsed.js';
import { linesCsv } from '../output/csv.js';
import { toPprof } from '../output/pprof.js';
import { samplingRemarks } from '../output/sampling-remarks.js';
import { speedscopeJson } from '../output/speedscope.js';
import { CommandFailure } from './failure.js';
import { readReport } from './read-report.js';
import { tell, writeOut } from './say.js';

export type ExportFormat = 'speedscope' | 'collapsed' | 'csv' | 'pprof';

export interface ExportOptions {
  readonly format: ExportFormat;
  /** A file; `-` for stdout. */
  readonly output: string;
}

const STDOUT = 1;

export function runExport(path: string, { format, output }: ExportOptions): void {
  if (output === '-' && format === 'pprof' && isatty(STDOUT)) {
    throw new CommandFailure('pprof is a binary format, not for a terminal. Name a file: -o profile.pb.gz', 2);
  }
  const { report, moment } = readReport(path);
  if (format !== 'csv') {
    for (const remark of samplingRemarks(report)) {
      tell(`Its figures are ${remark}.`);
    }
  }
  const pieces = exported(report, format, pageTitle(report, moment));
  if (output === '-') {
    for (const piece of pieces) {
      writeOut(piece);
    }
    return;
  }
  try {
    writeAtomically(output, pieces);
  } catch (error) {
    throw new CommandFailure(`${output} could not be written: ${reasonOf(error)}.`, 1);
  }
  tell(`Wrote ${output}`);
}

function exported(report: Report, format: ExportFormat, title: string): Iterable<string | Uint8Array> {
  switch (format) {
    case 'speedscope':
      return speedscopeJson(report, title);
    case 'collapsed':
      return collapsedStacks(report);
    case 'csv':
      return linesCsv(report);
    case 'pprof':
      return [toPprof(report, title)];
  }
}
