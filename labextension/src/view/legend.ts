/**
 * Says what width and colour mean.
 */
import { say } from '../../../schema/words.js';
import { DELTA_LEVELS } from '../../../schema/tree/compare.js';
import { element } from './dom.js';
import type { Tab } from './host.js';
import { HEAT_LEVELS } from '../../../schema/tree/model.js';

export function legendElement(tab: Tab, isCompared: boolean): HTMLElement {
  const shades = element('span', { class: 'fil-shades', attributes: { 'aria-hidden': 'true' } });
  if (isCompared) {
    for (let level = -DELTA_LEVELS; level <= DELTA_LEVELS; level++) {
      shades.append(element('i', { attributes: { 'data-delta': String(level) } }));
    }
    return element(
      'span',
      { class: 'fil-legend' },
      shades,
      say('blue: less than before, hatched: gone, red: more; as wide as the larger of both'),
    );
  }
  for (let heat = 1; heat <= HEAT_LEVELS; heat++) {
    shades.append(element('i', { attributes: { 'data-heat': String(heat) } }));
  }
  const words =
    tab === 'bottom-up'
      ? say('first the lines that allocated, below them their callers; wider and redder: more memory at the peak')
      : say('wider and redder: more memory at the peak');
  return element('span', { class: 'fil-legend' }, shades, words);
}
