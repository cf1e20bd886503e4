/**
 * A report as one HTML file with the interactive view inside, which loads nothing from anywhere.
 */
import { readFileSync } from 'node:fs';
import type { Report } from '../../../schema/report.js';
import { fillPage } from '../../../schema/page.js';
import { subjectLabel } from '../../../schema/places.js';
import { formatBytes } from '../../../schema/units.js';
import { bundled } from '../addon.js';
import { packReport } from './envelope.js';
import { toStaticHtml } from './html.js';

/** The template lies beside the bundle that this code is part of. */
const BUNDLED_TEMPLATE = 'report.html';

/**
 * The report's page: the interactive view, and the static form for browsers without scripts.
 *
 * @param template text of `filprofiler/_bundle/report.html`; read from beside the running bundle if not given.
 * @throws {Error} if the template can't be read, or has no place for the report.
 */
export function toHtmlPage(report: Report, template?: string): string {
  const page = template ?? readFileSync(bundled(BUNDLED_TEMPLATE), 'utf8');
  return fillPage(page, {
    title: `Fil: ${formatBytes(report.peakBytes)} in ${report.title ?? subjectLabel(report.subject)}`,
    envelope: packReport(report),
    still: toStaticHtml(report),
  });
}
