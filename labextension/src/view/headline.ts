/**
 * The answer in words, and the peak's parts as a bar.
 */
import type { Report } from '../../../schema/report.js';
import {
  answer,
  circumstances,
  type Holders,
  keptInWords,
  namedHolders,
  peakParts,
  type Phrase,
  temporaryInWords,
} from '../../../schema/summary.js';
import { formatBytes } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { element } from './dom.js';

const NOBODY: Holders = { names: [], all: [] };

export function headlineElement(report: Report): HTMLElement {
  const parts: HTMLElement[] = [];
  if (report.title !== null) {
    parts.push(element('div', { class: 'fil-title' }, report.title));
  }
  parts.push(
    element(
      'div',
      { class: 'fil-headline' },
      ...answer(report).flatMap((phrases) => [element('span', {}, ...phrases.map(phraseElement)), ' ']),
    ),
    ...circumstances(report).map((phrases) => element('div', { class: 'fil-subline' }, ...phrases.map(phraseElement))),
  );
  if (report.peakBytes > 0) {
    parts.push(...splitElements(report));
  }
  return element('header', { class: 'fil-header' }, ...parts);
}

/** A piece of a sentence as an element. */
export function phraseElement({ kind, text }: Phrase): Node | string {
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
  const split = peakParts(report);
  if (split === null) {
    return [];
  }
  const { residentBeforeBytes } = report;
  const { keptBytes, temporaryBytes } = split;
  const { before, kept } = namedHolders(report);
  const inUse = residentBeforeBytes ?? 0;
  const parts: { name: string; words: string; bytes: number; holders: Holders }[] = [
    { name: 'before', words: `${say('in use before')} ${formatBytes(inUse)}`, bytes: inUse, holders: before },
    { name: 'kept', words: `${say('kept')} ${keptInWords(split, report)}`, bytes: keptBytes, holders: kept },
    {
      name: 'temporary',
      words: `${say('temporary')} ${temporaryInWords(split, report)}`,
      bytes: temporaryBytes,
      holders: NOBODY,
    },
  ].filter(({ bytes }) => bytes > 0);
  const bar = element('div', { class: 'fil-split', attributes: { 'aria-hidden': 'true' } });
  const legend = element('div', { class: 'fil-split-legend' });
  for (const { name, words, bytes, holders } of parts) {
    const part = element('i', { class: `fil-part-${name}` });
    part.style.flexGrow = String(bytes);
    bar.append(part);
    const entry = element('span', {}, element('i', { class: `fil-part-${name}` }), words);
    if (holders.names.length > 0) {
      const more = holders.all.length > holders.names.length ? ', …' : '';
      entry.append(' (', element('code', {}, `${holders.names.join(', ')}${more}`), ')');
      entry.title = holders.all.join(', ');
    }
    legend.append(entry);
  }
  return [bar, legend];
}
