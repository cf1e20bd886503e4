/**
 * A report as one HTML file with the interactive view inside, which loads nothing from anywhere.
 */
import { readFileSync } from 'node:fs';
import { fillPage } from '../../../schema/page.js';
import type { Report } from '../../../schema/report.js';
import { pageTitle, type ReportMoment, reportTitle } from '../../../schema/titles.js';
import { bundled } from '../addon.js';
import { packReport } from './envelope.js';
import { toStaticHtml } from './html.js';

/** The template lies beside the bundle that this code is part of. */
const BUNDLED_TEMPLATE = 'report.html';

export interface PageOptions {
  /** `peak` if not given. */
  readonly moment?: ReportMoment;
  /** An earlier report to compare with from the start. */
  readonly before?: { readonly label: string; readonly report: Report } | undefined;
  /** Text of `filprofiler/_bundle/report.html`; read from beside the running bundle if not given. */
  readonly template?: string | undefined;
}

/**
 * The report's page: the interactive view, and the static form for browsers without scripts.
 *
 * @throws {Error} if the template can't be read, or has no place for the report.
 */
export function toHtmlPage(report: Report, { moment = 'peak', before, template }: PageOptions = {}): string {
  return fillPage(template ?? readFileSync(bundled(BUNDLED_TEMPLATE), 'utf8'), {
    title: pageTitle(report, moment),
    heading: reportTitle(report, moment),
    envelope: packReport(report),
    before: before === undefined ? null : { label: before.label, envelope: packReport(before.report) },
    still: toStaticHtml(report),
  });
}
