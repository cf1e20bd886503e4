/**
 * A report as one HTML file with the interactive view inside, which loads nothing from anywhere.
 */
import { readFileSync } from 'node:fs';
import { escapeUTF8 } from 'entities/escape';
import type { Report } from '../../../schema/report.js';
import { subjectLabel } from '../../../schema/places.js';
import { formatBytes } from '../../../schema/units.js';
import { bundled } from '../addon.js';
import { packReport } from './envelope.js';
import { toStaticHtml } from './html.js';

/** Where the template says that the page's parts go; made by scripts/build-report-page.mjs. */
const PLACES = /<!--fil:(title|report|static)-->/g;

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
  const parts: Readonly<Record<string, string>> = {
    title: escapeUTF8(`Fil: ${formatBytes(report.peakBytes)} in ${report.title ?? subjectLabel(report.subject)}`),
    // Base64 and numbers: nothing in it can end the script element.
    report: JSON.stringify(packReport(report)),
    static: toStaticHtml(report),
  };
  if (!page.includes('<!--fil:report-->')) {
    throw new Error('The template of the report page has no place for a report. Run `npm run build:view` to make it anew.');
  }
  // A function: in a replacement string, "$&" of a source line would be replaced in turn.
  return page.replace(PLACES, (_, part: string) => parts[part] ?? '');
}
