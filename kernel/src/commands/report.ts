/** `fil-profile report`: writes the files of a report anew, and its top lines to the terminal. */
import { reportText } from '../../../schema/report-text.js';
import { REPORT_PAGE, writeReportFiles } from '../output/files.js';
import { ReportSource } from '../report/build.js';
import { CommandFailure } from './failure.js';
import { readReport } from './read-report.js';
import { tell, writeOut } from './say.js';

export interface ReportOptions {
  /** Where the files go; not given: where the report is. */
  readonly output?: string;
  /** Only the text. */
  readonly text?: true;
}

export function runReport(path: string, options: ReportOptions): void {
  const { report, moment, directory } = readReport(path);
  const source = ReportSource.ofReport(report);
  writeOut(`${reportText(report)}\n`);
  if (options.text === true) {
    return;
  }
  const { files, problems } = writeReportFiles(options.output ?? directory, source, { moment });
  const page = files.find((file) => file.endsWith(REPORT_PAGE));
  if (page !== undefined) {
    tell(`Wrote ${files.length} files; open ${page}`);
  }
  if (problems.length > 0) {
    throw new CommandFailure(`${problems.join('; ')}. Choose another directory with -o.`, 1);
  }
}
