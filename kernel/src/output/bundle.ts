/**
 * A report as Jupyter displays it: one form for our extension, one for everything else that shows HTML, one for text.
 */
import { type Report, REPORT_MIME_TYPE } from '../../../schema/report.js';
import { packReport } from './envelope.js';
import { toStaticHtml } from './html.js';
import { toPlainText } from './text.js';

/** MIME type to data, as in Jupyter's `display_data`. */
export function toMimeBundle(report: Report): Record<string, unknown> {
  return {
    [REPORT_MIME_TYPE]: packReport(report),
    'text/html': toStaticHtml(report),
    'text/plain': toPlainText(report),
  };
}
