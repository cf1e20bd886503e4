/**
 * A report of a notebook as a page of its own.
 */
import { fillPage } from '../../../schema/page.js';
import { REPORT_MIME_TYPE } from '../../../schema/report.js';
import { pageTitle, reportTitle } from '../../../schema/titles.js';
import { openReport } from '../view/unpack.js';

/**
 * @param data the output's data, by MIME type.
 * @throws {ReportError} if the report can't be read.
 */
export async function pageOf(data: Readonly<Record<string, unknown>>): Promise<string> {
  const envelope = data[REPORT_MIME_TYPE];
  const report = await openReport(envelope);
  // Only loaded when somebody saves: it contains the view once more.
  const { default: template } = await import('../../../../report-page.txt');
  // Not the notebook's own HTML form, which anybody may have written.
  return fillPage(template, {
    title: pageTitle(report, 'peak'),
    heading: reportTitle(report, 'peak'),
    envelope,
    before: null,
    still: '',
  });
}
