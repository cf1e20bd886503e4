/**
 * The one-file page of a report, from its template.
 */
import { escapeUTF8 } from 'entities/escape';

/** Where the template says that the page's parts go; made by scripts/build-report-page.mjs. */
const PLACES = /<!--fil:(title|report|static)-->/g;

export interface PageParts {
  /** Plain text. */
  readonly title: string;
  /** The report's envelope. */
  readonly envelope: unknown;
  /** HTML for browsers without scripts, of our own making. */
  readonly still: string;
}

/** @throws {Error} if the template has no place for a report. */
export function fillPage(template: string, { title, envelope, still }: PageParts): string {
  if (!template.includes('<!--fil:report-->')) {
    throw new Error(
      'The template of the report page has no place for a report. Run `npm run build:view` to make it anew.',
    );
  }
  const parts: Readonly<Record<string, string>> = {
    title: escapeUTF8(title),
    // Base64 and numbers in ours; in another one nothing may end the script element.
    report: JSON.stringify(envelope).replaceAll('<', '\\u003c'),
    static: still,
  };
  // A function: in a replacement string, "$&" of a source line would be replaced in turn.
  return template.replace(PLACES, (_, part: string) => parts[part] ?? '');
}
