/**
 * The answer in words, and the peak's parts as a bar.
 */
import type { Report } from '../../../schema/report.js';
import { type Phrase, headline, splitPeak } from '../../../schema/summary.js';
import { formatBytes } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { element } from './dom.js';

export function headlineElement(report: Report): HTMLElement {
  const parts: HTMLElement[] = [];
  if (report.title !== null) {
    parts.push(element('div', { class: 'fil-title' }, report.title));
  }
  headline(report).forEach((phrases, nth) => {
    parts.push(element('div', { class: nth === 0 ? 'fil-headline' : 'fil-subline' }, ...phrases.map(phraseElement)));
  });
  if (report.peakBytes > 0) {
    parts.push(...splitElements(report));
  }
  return element('header', { class: 'fil-header' }, ...parts);
}

function phraseElement({ kind, text }: Phrase): Node | string {
  switch (kind) {
    case 'strong':
      return element('strong', {}, text);
    case 'soft':
      return element('span', { class: 'fil-soft' }, text);
    case 'code':
      return element('code', {}, text);
    case 'plain':
      return text;
  }
}

function splitElements(report: Report): HTMLElement[] {
  const { residentBeforeBytes, keptBytes, temporaryBytes } = splitPeak(report);
  const parts = [
    { name: 'before', words: say('in use before'), bytes: residentBeforeBytes ?? 0 },
    { name: 'kept', words: say('kept'), bytes: keptBytes },
    { name: 'temporary', words: say('temporary'), bytes: temporaryBytes },
  ].filter(({ bytes }) => bytes > 0);
  const bar = element('div', { class: 'fil-split', attributes: { 'aria-hidden': 'true' } });
  const legend = element('div', { class: 'fil-split-legend' });
  for (const { name, words, bytes } of parts) {
    const part = element('i', { class: `fil-part-${name}` });
    part.style.flexGrow = String(bytes);
    bar.append(part);
    legend.append(element('span', {}, element('i', { class: `fil-part-${name}` }), `${words} ${formatBytes(bytes)}`));
  }
  return [bar, legend];
}
