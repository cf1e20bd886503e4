/**
 * A call tree as a still picture, for files: SVG without style sheets, scripts or foreign objects, so that any program shows it.
 */
import { fitting, shorten } from '../../../schema/picture.js';
import type { Report } from '../../../schema/report.js';
import { headline } from '../../../schema/summary.js';
import { amountInShort, type FlameFrame, type FlameTree, labelOf } from '../../../schema/tree/model.js';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 1200;
const LEVEL = 20;
const HEADER = 48;
const NARROWEST = 0.5;

/** Colours of the picture, as CSS colours that any program reads. */
export interface StillColours {
  readonly paper: string;
  readonly ink: string;
  frame(frame: FlameFrame): { readonly fill: string; readonly ink: string };
}

/** A picture with the headline above it. */
export function stillPicture(report: Report, tree: FlameTree, colours: StillColours): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  let deepest = 0;
  const draw = (frame: FlameFrame, left: number): void => {
    const width = (frame.value / Math.max(1, tree[0].value)) * WIDTH;
    if (width < NARROWEST) {
      return;
    }
    deepest = Math.max(deepest, frame.depth);
    const { fill, ink } = colours.frame(frame);
    const top = HEADER + frame.depth * LEVEL;
    svg.append(
      shape('rect', { x: left, y: top, width, height: LEVEL, fill, stroke: colours.paper, 'stroke-width': 1 }),
    );
    const text = shorten(inOneLine(frame, report), fitting(width - 8));
    if (text !== '') {
      svg.append(writing(left + 4, top + 14, 11, ink, text));
    }
    let next = left;
    for (const child of frame.children) {
      draw(child, next);
      next += (child.value / Math.max(1, tree[0].value)) * WIDTH;
    }
  };
  const lines = headline(report).map((phrases) => phrases.map(({ text }) => text).join(''));
  lines.slice(0, 2).forEach((line, nth) => {
    svg.append(writing(4, 16 + nth * 19, nth === 0 ? 14 : 12, colours.ink, shorten(line, 170)));
  });
  draw(tree[0], 0);
  const height = HEADER + (deepest + 1) * LEVEL + 4;
  for (const [name, value] of Object.entries({
    xmlns: SVG,
    width: WIDTH,
    height,
    viewBox: `0 0 ${WIDTH} ${height}`,
    'font-family': 'system-ui, sans-serif',
  })) {
    svg.setAttribute(name, String(value));
  }
  svg.prepend(shape('rect', { x: 0, y: 0, width: WIDTH, height, fill: colours.paper }));
  return svg;
}

function inOneLine(frame: FlameFrame, report: Report): string {
  const { name, place, source } = labelOf(frame);
  return `${[name, place, source].filter((part) => part !== '').join('  ')}  ${amountInShort(frame, report)}`;
}

function shape(tag: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, typeof value === 'number' ? String(Math.round(value * 100) / 100) : value);
  }
  return made;
}

function writing(x: number, y: number, size: number, fill: string, text: string): SVGElement {
  const made = shape('text', { x, y, 'font-size': size, fill });
  made.textContent = text;
  return made;
}
