/** `fil-profile merge`: one report of many. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { MergeRule } from '../../../schema/report.js';
import { reportText } from '../../../schema/report-text.js';
import { REPORT_JSON, REPORT_PAGE, writeReportFiles } from '../output/files.js';
import { ReportSource } from '../report/build.js';
import { ReportMerger } from '../report/merge.js';
import { VERSION } from '../version.js';
import { CommandFailure } from './failure.js';
import { readReport } from './read-report.js';
import { tell, writeOut } from './say.js';

export interface MergeOptions {
  readonly rule: MergeRule;
  /** Directory for the merged report's files. */
  readonly output: string;
}

/** @param paths of reports, or of directories with reports. */
export function runMerge(paths: readonly string[], { rule, output }: MergeOptions): void {
  const found = paths.flatMap(reportsAt);
  const merger = new ReportMerger(rule);
  let python = '';
  for (const path of found) {
    const { report } = readReport(path);
    if (report.merged !== undefined) {
      throw new CommandFailure(`${path} is a merged report already. Name the reports that it was made of.`, 2);
    }
    python ||= report.producer.python;
    merger.add(report);
  }
  const merged = merger.report({ name: 'filprofiler', version: VERSION, python });
  writeOut(`${reportText(merged)}\n`);
  const { files, problems } = writeReportFiles(output, ReportSource.ofReport(merged));
  const page = files.find((file) => file.endsWith(REPORT_PAGE));
  if (page !== undefined) {
    tell(`Merged ${found.length} reports; open ${page}`);
  }
  if (problems.length > 0) {
    throw new CommandFailure(`${problems.join('; ')}. Choose another directory with -o.`, 1);
  }
}

/** The report itself, or the reports in a directory, in the order of their names. */
function reportsAt(path: string): string[] {
  if (!existsSync(path) || !statSync(path).isDirectory() || existsSync(join(path, REPORT_JSON))) {
    return [path];
  }
  const inside = readdirSync(path)
    .sort()
    .map((name) => join(path, name))
    .filter((each) => existsSync(join(each, REPORT_JSON)));
  if (inside.length === 0) {
    throw new CommandFailure(`${path} has no ${REPORT_JSON}, nor reports in directories of its own.`, 2);
  }
  return inside;
}
