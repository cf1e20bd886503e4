/**
 * The script inside a flamegraph that is a file of its own, `peak-memory.svg`: zoom, search and a tooltip. Everything that it shows is
 * in the file already, so the picture is complete without it.
 */
import { MARGIN, NARROWEST, pictureLabel, shorten } from '../../schema/picture.js';
import { amountInWords, type Sampling } from '../../schema/sampling.js';

const SVG = 'http://www.w3.org/2000/svg';
const XHTML = 'http://www.w3.org/1999/xhtml';
const NARROWEST_WINDOW = 400;
/** Characters of a line in the tooltip. */
const LONGEST_LINE = 150;

interface Box {
  readonly group: SVGGElement;
  readonly rect: SVGRectElement;
  readonly label: SVGTextElement;
  /** In parts of the whole picture's width. */
  readonly left: number;
  readonly width: number;
  readonly depth: number;
  /** Of a sampled report: what it held, and what of that is estimated. */
  readonly bytes: number;
  readonly sampledBytes: number;
  /** The lines of its title: where, source line if known, bytes. */
  readonly lines: readonly string[];
}

function made<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string>>,
): SVGElementTagNameMap[Tag] {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  return element;
}

class Picture {
  readonly #root: SVGSVGElement;
  readonly #height: number;
  readonly #boxes: readonly Box[];
  readonly #boxOf = new Map<Element, Box>();
  readonly #details: Element | null;
  /** Undefined in a picture of exact figures. */
  readonly #sampling: Sampling | undefined;
  readonly #reset: SVGElement | null;
  readonly #search = made('foreignObject', { y: '6', width: '220', height: '26' });
  readonly #tooltip = made('g', { id: 'tooltip', visibility: 'hidden' });
  #zoomed: Box;
  #width = 0;
  #told = '';

  constructor(root: SVGSVGElement, boxes: readonly [Box, ...Box[]]) {
    this.#root = root;
    this.#height = root.viewBox.baseVal.height;
    this.#boxes = boxes;
    this.#zoomed = boxes[0];
    this.#details = document.getElementById('details');
    const mean = Number(document.getElementById('frames')?.dataset['mean'] ?? 0);
    this.#sampling = mean > 0 ? { meanBytes: mean } : undefined;
    this.#reset = root.querySelector('#reset');
    for (const box of boxes) {
      this.#boxOf.set(box.group, box);
    }
    this.#addSearch();
    root.append(this.#tooltip);
    root.addEventListener('click', ({ target }) => {
      const box = this.#boxAt(target);
      if (box !== null) {
        this.#zoom(box);
      }
    });
    root.addEventListener('pointermove', (event) => {
      this.#point(this.#boxAt(event.target), event.clientX, event.clientY);
    });
    root.addEventListener('pointerleave', () => {
      this.#point(null, 0, 0);
    });
    this.#reset?.addEventListener('click', () => {
      this.#zoom(boxes[0]);
    });
    root.addEventListener('keydown', ({ key, target }) => {
      if (key === 'Escape' || (key === 'Enter' && target === this.#reset)) {
        this.#zoom(boxes[0]);
      }
    });
    window.addEventListener('resize', () => {
      this.#fit();
    });
    this.#fit();
  }

  #boxAt(target: EventTarget | null): Box | null {
    const group = target instanceof Element ? target.closest('#frames > g') : null;
    return group === null ? null : (this.#boxOf.get(group) ?? null);
  }

  #addSearch(): void {
    const input = document.createElementNS(XHTML, 'input') as HTMLInputElement;
    input.setAttribute('type', 'search');
    input.setAttribute('id', 'search');
    input.setAttribute('placeholder', 'Search');
    input.setAttribute('aria-label', 'Search functions, files and source lines');
    input.addEventListener('input', () => {
      this.#find(input.value);
    });
    this.#search.append(input);
    this.#root.append(this.#search);
  }

  /** Takes the window's width. */
  #fit(): void {
    const width = Math.max(NARROWEST_WINDOW, document.documentElement.clientWidth || window.innerWidth);
    if (width === this.#width) {
      return;
    }
    this.#width = width;
    this.#root.setAttribute('width', String(width));
    this.#root.setAttribute('viewBox', `0 0 ${width} ${this.#height}`);
    this.#search.setAttribute('x', String(width - MARGIN - 220));
    for (const box of this.#root.querySelectorAll('.request rect')) {
      box.setAttribute('width', String(width - 2 * MARGIN));
    }
    this.#reset?.setAttribute('x', String(width - MARGIN));
    this.#place();
  }

  #zoom(box: Box): void {
    this.#zoomed = box;
    this.#reset?.setAttribute('visibility', box === this.#boxes[0] ? 'hidden' : 'visible');
    this.#point(null, 0, 0);
    this.#place();
  }

  #place(): void {
    const inner = this.#width - 2 * MARGIN;
    const zoomed = this.#zoomed;
    const scale = inner / Math.max(zoomed.width, Number.MIN_VALUE);
    // Rounded in the file: less than this is no overlap.
    const slack = 2e-7;
    for (const { group, rect, label, left, width, depth, lines } of this.#boxes) {
      const isCaller =
        depth < zoomed.depth && left <= zoomed.left + slack && left + width >= zoomed.left + zoomed.width - slack;
      const isWithin =
        depth >= zoomed.depth && left >= zoomed.left - slack && left + width <= zoomed.left + zoomed.width + slack;
      const shownWidth = isCaller ? inner : width * scale;
      if (!(isCaller || isWithin) || shownWidth < NARROWEST) {
        group.setAttribute('display', 'none');
        continue;
      }
      group.removeAttribute('display');
      group.classList.toggle('caller', isCaller);
      const x = isCaller ? MARGIN : MARGIN + (left - zoomed.left) * scale;
      rect.setAttribute('x', x.toFixed(2));
      rect.setAttribute('width', shownWidth.toFixed(2));
      label.setAttribute('x', (x + 3).toFixed(2));
      label.textContent = pictureLabel(lines, shownWidth);
    }
  }

  #find(term: string): void {
    const wanted = term.trim().toLowerCase();
    let count = 0;
    let [part, bytes, sampledBytes] = [0, 0, 0];
    let coveredUntil = 0;
    // In pre-order: whatever begins before the end of the last match is below it.
    for (const box of this.#boxes) {
      const { group, lines, left, width } = box;
      const isMatch = wanted !== '' && lines.slice(0, -1).some((line) => line.toLowerCase().includes(wanted));
      group.classList.toggle('match', isMatch);
      if (isMatch) {
        count += 1;
        if (left >= coveredUntil - 2e-7) {
          part += width;
          bytes += box.bytes;
          sampledBytes += box.sampledBytes;
          coveredUntil = left + width;
        }
      }
    }
    this.#root.classList.toggle('searching', count > 0);
    // A share alone would look exact.
    const amount = this.#sampling === undefined ? [] : [amountInWords(bytes, sampledBytes, this.#sampling)];
    this.#told =
      wanted === ''
        ? ''
        : count === 0
          ? 'not found'
          : [count === 1 ? '1 frame' : `${count} frames`, ...amount, `${(100 * part).toFixed(1)} %`].join(', ');
    this.#tell(this.#told);
  }

  #tell(words: string): void {
    if (this.#details !== null) {
      this.#details.textContent = words;
    }
  }

  #point(box: Box | null, x: number, y: number): void {
    this.#tell(box === null ? this.#told : box.lines.join('  '));
    for (const quiet of this.#root.querySelectorAll('g[data-title]')) {
      const title = made('title', {});
      title.textContent = quiet.getAttribute('data-title');
      quiet.prepend(title);
      quiet.removeAttribute('data-title');
    }
    if (box === null) {
      this.#tooltip.setAttribute('visibility', 'hidden');
      return;
    }
    // The browser's own tooltip would say the same a second later.
    const title = box.group.querySelector('title');
    if (title !== null) {
      box.group.setAttribute('data-title', title.textContent);
      title.remove();
    }
    const lines = box.lines.map((line, nth) => {
      const text = made('text', { x: '8', y: String(18 + nth * 17) });
      text.textContent = shorten(line, LONGEST_LINE);
      return text;
    });
    const back = made('rect', { rx: '3', height: String(lines.length * 17 + 10) });
    this.#tooltip.replaceChildren(back, ...lines);
    const width = Math.max(...lines.map((line) => line.getComputedTextLength())) + 16;
    back.setAttribute('width', width.toFixed(0));
    const corner = this.#root.getBoundingClientRect();
    const left = Math.max(0, Math.min(x - corner.left + 14, this.#width - width - MARGIN));
    const below = y - corner.top + 18;
    const isRoom = below + lines.length * 17 + 12 < this.#height;
    const top = isRoom ? below : Math.max(0, y - corner.top - lines.length * 17 - 20);
    this.#tooltip.setAttribute('transform', `translate(${left.toFixed(0)} ${top.toFixed(0)})`);
    this.#tooltip.setAttribute('visibility', 'visible');
  }
}

function boxesOf(root: SVGSVGElement): Box[] {
  return Array.from(root.querySelectorAll<SVGGElement>('#frames > g')).flatMap((group) => {
    const [title, rect, label] = Array.from(group.children);
    if (!(rect instanceof SVGRectElement) || !(label instanceof SVGTextElement)) {
      return [];
    }
    const { x = '0', w = '0', d = '0', b = '0', s = '0' } = group.dataset;
    const lines = (title?.textContent ?? '').split('\n');
    const [left, width, depth, bytes, sampledBytes] = [Number(x), Number(w), Number(d), Number(b), Number(s)];
    return [{ group, rect, label, left, width, depth, bytes, sampledBytes, lines }];
  });
}

const root = document.documentElement;
if (root instanceof SVGSVGElement) {
  const [first, ...others] = boxesOf(root);
  if (first !== undefined) {
    new Picture(root, [first, ...others]);
  }
}
