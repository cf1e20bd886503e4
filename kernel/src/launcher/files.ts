/** What is said about a report's files. */
import { REPORT_PAGE } from '../output/files.js';
import type { ReportOutput } from '../report-job.js';
import { say } from './say.js';

/** Says where they are, and what is wrong with them. @returns the page's path; null if there is none. */
export function tellReport({ files, filesProblem }: Pick<ReportOutput, 'files' | 'filesProblem'>): string | null {
  const page = files.find((file) => file.endsWith(REPORT_PAGE)) ?? null;
  if (filesProblem !== null) {
    say(filesProblem);
  }
  if (page !== null) {
    say(`Wrote the report: ${page}`);
  }
  return page;
}
