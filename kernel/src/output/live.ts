/**
 * A running profile as Jupyter displays it: one form for our extension, HTML for other front ends, text for those that have neither.
 */
import { escapeUTF8 } from 'entities/escape';
import { type LiveLine, LIVE_MIME_TYPE, liveHeadline, type LiveProfile } from '../../../schema/live.js';
import { frameLabel } from '../../../schema/places.js';
import { formatBytes, formatShare } from '../../../schema/units.js';
import { phraseHtml } from './html.js';

/** Nothing to see: what is left of a display that can't be taken away. Each exporter finds a form that it knows. */
export const EMPTY_BUNDLE: Readonly<Record<string, unknown>> = { 'text/html': '', 'text/plain': '' };

/**
 * MIME type to data, as in Jupyter's `display_data`.
 *
 * @param hasText whether to include the text form. Consoles print the first display's text and can't take it back; they ignore updates.
 */
export function toLiveBundle(live: LiveProfile, hasText: boolean): Record<string, unknown> {
  return {
    [LIVE_MIME_TYPE]: live,
    'text/html': toLiveHtml(live),
    ...(hasText ? { 'text/plain': toLiveText(live) } : {}),
  };
}

/** Without scripts or a style sheet, as the report's static form; see there. */
function toLiveHtml(live: LiveProfile): string {
  const right = 'style="text-align: right; white-space: nowrap"';
  const left = 'style="text-align: left"';
  const rows = live.lines.map((line) => {
    const { where, source } = wordsOf(line, live);
    return (
      `<tr><td ${right}>${formatBytes(line.bytes)}</td>` +
      `<td ${right}>${escapeUTF8(formatShare(line.bytes, live.peakBytes))}</td><td ${left}>${escapeUTF8(where)}</td>` +
      `<td ${left}>${source && `<code>${escapeUTF8(source)}</code>`}</td></tr>`
    );
  });
  const title = live.title === null ? '' : `<div><b>${escapeUTF8(live.title)}</b></div>`;
  const table = rows.length === 0 ? '' : `<table>${rows.join('')}</table>`;
  return `<div>${title}<div>${liveHeadline(live).map(phraseHtml).join('')}</div>${table}</div>`;
}

function toLiveText(live: LiveProfile): string {
  const headline = liveHeadline(live)
    .map(({ text }) => text)
    .join('');
  const rows = live.lines.map((line) => {
    const { where, source } = wordsOf(line, live);
    const share = formatShare(line.bytes, live.peakBytes).padStart(7);
    return `${formatBytes(line.bytes).padStart(11)} ${share}  ${[where, source].filter((part) => part !== '').join('  ')}`;
  });
  return [...(live.title === null ? [] : [live.title]), headline, ...rows].join('\n');
}

function wordsOf(line: LiveLine, live: LiveProfile): { readonly where: string; readonly source: string } {
  const { name, place, source } = frameLabel(line, live.subject);
  return { where: [name, place].filter((part) => part !== '').join(', '), source };
}
