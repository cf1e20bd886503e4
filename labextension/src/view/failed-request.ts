/** The request that failed, above the flamegraph of what was held. */
import { type RequestPicture } from '../../../schema/failed-request.js';
import { element } from './dom.js';

export function requestElement({ title, boxes }: RequestPicture): HTMLElement {
  return element(
    'div',
    { class: 'fil-request', attributes: { role: 'group', 'aria-label': title } },
    element('div', { class: 'fil-request-title' }, title),
    ...boxes.map(({ place, sourceLine, asked }) =>
      element(
        'div',
        { class: asked ? 'fil-request-box fil-request-asked' : 'fil-request-box', title: `${place}\n${sourceLine}` },
        element('span', {}, place),
        ...(sourceLine === '' ? [] : [' ', element('code', {}, sourceLine)]),
      ),
    ),
  );
}
