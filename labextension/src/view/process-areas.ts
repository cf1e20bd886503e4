/**
 * What each process held over time, one upon the other, and what the colours mean.
 */
import type { Report } from '../../../schema/report.js';
import { processFrameName } from '../../../schema/tree/of-process.js';
import { formatBytes } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { element } from './dom.js';
import { shape } from './svg.js';

/** Areas at most: if there are more processes, the last one is shared by those that held least. */
const MOST_AREAS = 6;

/** An area: bytes at the moments of the report's timeline. */
export interface Area {
  readonly name: string;
  readonly bytes: readonly number[];
}

/** The areas from the lowest up: processes that held most come first. Empty where there was one process. */
export function areasOf({ timeline: { seconds }, processes }: Report): readonly Area[] {
  const all = (processes?.tracked ?? [])
    .filter(({ timeline }) => timeline.length === seconds.length && seconds.length > 1)
    .map((process) => ({
      name: processFrameName(process),
      bytes: process.timeline,
      most: Math.max(...process.timeline),
    }))
    .filter(({ most }) => most > 0)
    .sort((a, b) => b.most - a.most);
  if (all.length < 2) {
    return [];
  }
  const own = all.length <= MOST_AREAS ? all : all.slice(0, MOST_AREAS - 1);
  const rest = all.slice(own.length);
  const others = {
    name: say('%1 others', rest.length),
    bytes: seconds.map((_, row) => rest.reduce((sum, { bytes }) => sum + (bytes[row] ?? 0), 0)),
  };
  return [...own, ...(rest.length === 0 ? [] : [others])];
}

/** Draws them: `x` of each moment of the timeline, `y` of bytes. */
export function drawAreas(areas: readonly Area[], x: readonly number[], y: (bytes: number) => number): SVGElement[] {
  const below = x.map(() => 0);
  const edge = (): string[] => x.map((across, row) => `${across.toFixed(1)} ${y(below[row] ?? 0).toFixed(1)}`);
  return areas.map(({ name, bytes }, nth) => {
    const lower = edge().reverse();
    bytes.forEach((more, row) => {
      below[row] = (below[row] ?? 0) + more;
    });
    const area = shape('path', { class: `fil-stack fil-stack-${nth + 1}`, d: `M${[...edge(), ...lower].join('L')}Z` });
    const title = shape('title', {});
    title.textContent = name;
    area.append(title);
    return area;
  });
}

/** Which colour is which process's, from the top down as they are drawn. */
export function areasLegend(areas: readonly Area[]): HTMLElement[] {
  if (areas.length === 0) {
    return [];
  }
  const items = areas.map(({ name }, nth) =>
    element(
      'li',
      {},
      element('i', { class: `fil-stack-${nth + 1}`, attributes: { 'aria-hidden': 'true' } }),
      element('span', {}, name),
    ),
  );
  return [
    element('ul', { class: 'fil-stack-key', attributes: { 'aria-label': say('Processes') } }, ...items.reverse()),
  ];
}

/** What each held at a row of the timeline, most first, in words; empty where there was one process. */
export function areasInWords(areas: readonly Area[], row: number): string {
  return areas
    .map(({ name, bytes }) => ({ name, held: bytes[row] ?? 0 }))
    .filter(({ held }) => held > 0)
    .sort((a, b) => b.held - a.held)
    .map(({ name, held }) => `${name}: ${formatBytes(held)}`)
    .join('; ');
}
