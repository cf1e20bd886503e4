/**
 * The call tree as an icicle: callers above, callees below; wider and redder frames held more of the peak.
 */
import flamegraph, { type FlameGraph, type FlameNode, type FlameTooltip } from 'd3-flame-graph';
import { select } from 'd3-selection';
import type { Report } from '../../../schema/report.js';
import { formatBytes, formatShare } from '../../../schema/units.js';
import { element } from './dom.js';
import { type FlameFrame, type Matches, flameFrames, search } from './model.js';
import { Tooltip } from './tooltip.js';

const LEVEL_PIXELS = 22;
/** Narrower frames are not drawn: nobody can see or hit them, and they cost most of the time. */
const NARROWEST_PIXELS = 1;
/** From which widths on a frame has a label; the class in the function's name; the bytes. */
const LABEL_PIXELS = 30;
const OWNER_PIXELS = 140;
const BYTES_PIXELS = 190;
const ZOOM_MILLISECONDS = 250;

type Node = FlameNode<FlameFrame>;

export interface FlamegraphEvents {
  /** Another frame fills the width; null if it is the root. */
  zoomed(frame: FlameFrame | null): void;
  /** Another frame has the keyboard's focus. */
  focused(frame: FlameFrame): void;
}

/** Draws itself once its element has a width, and anew when the width changes. */
export class Flamegraph {
  readonly element = element('div', {
    class: 'fil-flame',
    attributes: {
      tabindex: '0',
      role: 'group',
      'aria-label': 'Flamegraph. Arrow keys move between frames, Enter zooms in, Escape resets the zoom.',
      // Else arrow keys and Enter would move between the notebook's cells.
      'data-lm-suppress-shortcuts': 'true',
    },
  });
  readonly #frames: readonly [FlameFrame, ...FlameFrame[]];
  readonly #report: Report;
  readonly #events: FlamegraphEvents;
  readonly #tooltip: Tooltip;
  readonly #observer: ResizeObserver;
  readonly #canvas = element('div');
  #chart: FlameGraph<FlameFrame> | null = null;
  #width = 0;
  #matches: Matches;
  #focused: FlameFrame;
  #nodeOf = new Map<FlameFrame, Node>();

  /** @throws {RangeError} if the report can't be drawn. */
  constructor(report: Report, events: FlamegraphEvents) {
    this.#report = report;
    this.#events = events;
    this.#frames = flameFrames(report);
    this.#focused = this.#frames[0];
    this.#matches = search(this.#frames, '');
    this.#tooltip = new Tooltip(report);
    this.element.append(this.#canvas);
    this.element.addEventListener('keydown', (event) => {
      this.#onKey(event);
    });
    this.element.addEventListener('blur', () => {
      this.#tooltip.hide();
      this.#mark();
    });
    this.#observer = new ResizeObserver(() => {
      this.#fit();
    });
    this.#observer.observe(this.element);
  }

  /** Marks the frames that contain a text, and tells what they held. */
  search(term: string): Matches {
    this.#matches = search(this.#frames, term);
    this.#mark();
    return this.#matches;
  }

  resetZoom(): void {
    this.#zoomTo(this.#frames[0]);
  }

  dispose(): void {
    this.#observer.disconnect();
    this.#tooltip.dispose();
    this.#chart?.destroy();
    this.#chart = null;
    this.#nodeOf.clear();
    this.element.remove();
  }

  #fit(): void {
    const width = Math.floor(this.element.clientWidth);
    if (width === 0 || width === this.#width) {
      return;
    }
    this.#width = width;
    if (this.#chart === null) {
      this.#draw(width);
    } else {
      this.#chart.width(width).transitionDuration(0).update();
      this.#chart.transitionDuration(zoomMilliseconds());
    }
    this.#decorate();
  }

  #draw(width: number): void {
    const chart = flamegraph<FlameFrame>()
      .width(width)
      .cellHeight(LEVEL_PIXELS)
      .inverted(true)
      .minFrameSize(NARROWEST_PIXELS)
      .resetHeightOnZoom(true)
      .transitionDuration(0)
      .selfValue(false)
      .sort(false)
      .title('')
      .setColorMapper(() => '')
      .tooltip(this.#chartTooltip())
      .onClick((node) => {
        this.#onZoom(node.data);
      });
    chart(select<HTMLElement, unknown>(this.#canvas).datum(this.#frames[0]));
    chart.transitionDuration(zoomMilliseconds());
    this.#chart = chart;
    const root = select<HTMLElement, Node>(this.#canvas).datum();
    root.each((node) => {
      this.#nodeOf.set(node.data, node);
    });
  }

  #chartTooltip(): FlameTooltip<FlameFrame> {
    return Object.assign(() => undefined, {
      show: (event: MouseEvent, { data }: Node) => {
        if (event.currentTarget instanceof Element) {
          this.#tooltip.show(data, event.currentTarget, event.clientX);
        }
      },
      hide: () => {
        this.#tooltip.hide();
      },
    });
  }

  #onZoom(frame: FlameFrame): void {
    this.#focused = frame;
    this.#decorate();
    this.#events.zoomed(frame === this.#frames[0] ? null : frame);
  }

  #zoomTo(frame: FlameFrame): void {
    const node = this.#nodeOf.get(frame);
    if (this.#chart !== null && node !== undefined) {
      // Calls onClick, and so #onZoom.
      this.#chart.zoomTo(node);
    }
  }

  /** What the chart doesn't do: labels in parts, shades by class, and final widths at once for frames that are new. */
  #decorate(): void {
    let deepest = 0;
    for (const [group, { data, depth }] of this.#groups()) {
      const width = Number(group.getAttribute('width'));
      if (!group.hasAttribute('data-heat')) {
        group.setAttribute('data-heat', String(data.heat));
        group.setAttribute('data-kind', data.frame.kind);
        // The chart would grow it from nothing.
        group.querySelector('rect')?.setAttribute('width', String(width));
      }
      const holder = group.querySelector('foreignObject');
      const label = holder?.querySelector('.fil-label');
      if (width < LABEL_PIXELS) {
        label?.remove();
      } else if (holder && !label) {
        holder.append(labelElement(data));
      }
      group.classList.toggle('fil-wide', width >= OWNER_PIXELS);
      group.classList.toggle('fil-wider', width >= BYTES_PIXELS);
      deepest = Math.max(deepest, depth);
    }
    // The chart leaves two levels free, for a title that is not there.
    this.#canvas.querySelector('svg')?.setAttribute('height', String((deepest + 1) * LEVEL_PIXELS + 1));
    this.#mark();
  }

  /** Shows what the search found and where the keyboard's focus is. */
  #mark(): void {
    const isSearching = this.#matches.frames.size > 0;
    this.element.classList.toggle('fil-searching', isSearching);
    const isFocused = document.activeElement === this.element;
    for (const [group, { data }] of this.#groups()) {
      group.classList.toggle('fil-match', isSearching && this.#matches.frames.has(data));
      group.classList.toggle('fil-focus', isFocused && data === this.#focused);
    }
  }

  *#groups(): Iterable<[Element, Node]> {
    for (const group of this.#canvas.querySelectorAll('g.frame')) {
      yield [group, select<Element, Node>(group).datum()];
    }
  }

  #onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) {
      return;
    }
    switch (event.key) {
      case 'Enter':
      case ' ':
        this.#zoomTo(this.#focused);
        break;
      case 'Escape':
        this.resetZoom();
        break;
      case 'ArrowDown':
        this.#focus(this.#focused.children[0]);
        break;
      case 'ArrowUp':
        this.#focus(this.#focused.parent);
        break;
      case 'ArrowLeft':
        this.#focus(sibling(this.#focused, -1));
        break;
      case 'ArrowRight':
        this.#focus(sibling(this.#focused, 1));
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #focus(frame: FlameFrame | null | undefined): void {
    if (!frame) {
      return;
    }
    this.#focused = frame;
    this.#mark();
    this.#events.focused(frame);
    const group = this.#canvas.querySelector('g.fil-focus');
    if (group !== null) {
      group.scrollIntoView({ block: 'nearest' });
      this.#tooltip.show(frame, group, group.getBoundingClientRect().left);
    }
  }

  /** A frame in words, for readers who don't see the picture. */
  describe({ label, value }: FlameFrame): string {
    const parts = [label.name, label.place, label.source].filter((part) => part !== '');
    return `${parts.join(', ')}: ${formatBytes(value)}, ${formatShare(value, this.#report.peakBytes)} of the peak`;
  }
}

function sibling(frame: FlameFrame, step: -1 | 1): FlameFrame | undefined {
  const siblings = frame.parent?.children ?? [];
  return siblings[siblings.indexOf(frame) + step];
}

function labelElement({ frame, label, value }: FlameFrame): HTMLElement {
  const text = element('span', { class: 'fil-label-text' });
  // `DataFrame.` of `DataFrame.merge`: the first to go where there is little room.
  const ownerEnd = label.name === frame.function ? label.name.lastIndexOf('.') + 1 : 0;
  if (ownerEnd > 0) {
    text.append(element('span', { class: 'fil-label-owner' }, label.name.slice(0, ownerEnd)));
  }
  text.append(label.name.slice(ownerEnd));
  if (label.place !== '') {
    text.append(' ', element('span', { class: 'fil-label-place' }, label.place));
  }
  if (label.source !== '') {
    text.append(' ', element('span', { class: 'fil-label-source' }, label.source));
  }
  return element(
    'div',
    { class: 'fil-label' },
    text,
    element('span', { class: 'fil-label-bytes' }, formatBytes(value)),
  );
}

function zoomMilliseconds(): number {
  return matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : ZOOM_MILLISECONDS;
}
