/**
 * The one-file page of a report, from its template.
 */
import { escapeUTF8 } from 'entities/escape';

/** Where the template says that the page's parts go; made by scripts/build-report-page.mjs. */
const PLACES = /<!--fil:(title|heading|report|before|static)-->/g;

export interface PageParts {
  /** Plain text, of the browser's tab. */
  readonly title: string;
  /** Plain text. */
  readonly heading: string;
  /** The report's envelope. */
  readonly envelope: unknown;
  /** An earlier report that it is compared with; null for none. */
  readonly before: { readonly label: string; readonly envelope: unknown } | null;
  /** HTML for browsers without scripts, of our own making. */
  readonly still: string;
}

/** @throws {Error} if the template has no place for a report. */
export function fillPage(template: string, { title, heading, envelope, before, still }: PageParts): string {
  if (!template.includes('<!--fil:report-->')) {
    throw new Error(
      'The template of the report page has no place for a report. Run `npm run build:view` to make it anew.',
    );
  }
  const parts: Readonly<Record<string, string>> = {
    title: escapeUTF8(title),
    heading: escapeUTF8(heading),
    report: inScript(envelope),
    before: inScript(before),
    static: still,
  };
  // A function: in a replacement string, "$&" of a source line would be replaced in turn.
  return template.replace(PLACES, (_, part: string) => parts[part] ?? '');
}

/** JSON inside a script element, which nothing in it may end. */
function inScript(data: unknown): string {
  return JSON.stringify(data).replaceAll('<', '\\u003c');
}
