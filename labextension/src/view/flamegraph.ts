/**
 * A call tree as an icicle: callers above, callees below; wider and redder frames held more of the peak.
 */
import flamegraph, { type FlameGraph, type FlameNode, type FlameTooltip } from 'd3-flame-graph';
import { hierarchy } from 'd3-hierarchy';
import { select } from 'd3-selection';
import type { Report } from '../../../schema/report.js';
import { amountInWords } from '../../../schema/sampling.js';
import { formatShare } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { deltaLevel } from '../../../schema/tree/compare.js';
import { element } from './dom.js';
import {
  amountInShort,
  certainDeltaBytes,
  type FlameFrame,
  type FlameTree,
  heldBytes,
  labelOf,
  type Matches,
  NO_MATCHES,
  search,
} from '../../../schema/tree/model.js';
import { differenceInWords, Tooltip } from './tooltip.js';

const LEVEL_PIXELS = 22;
/** Narrower frames are not drawn: nobody can see or hit them, and they cost most of the time. */
const NARROWEST_PIXELS = 1;
/** From which widths on a frame has a label; the class in the function's name; the bytes. */
const LABEL_PIXELS = 30;
const OWNER_PIXELS = 140;
const BYTES_PIXELS = 190;
/** Long enough to see where the frame went, short enough not to be waited for. */
const ZOOM_MILLISECONDS = 80;

type Node = FlameNode<FlameFrame>;

export interface FlamegraphEvents {
  /** Another frame fills the width; null if it is the root. */
  zoomed(frame: FlameFrame | null): void;
  /** Another frame has the keyboard's focus. */
  focused(frame: FlameFrame): void;
  /** The reader wants to see a frame's line; null where nobody can show it. */
  readonly jump: ((frame: FlameFrame) => void) | null;
  /** Whether {@link jump} would lead anywhere. */
  canJump(frame: FlameFrame): boolean;
}

export interface FlamegraphOptions {
  readonly report: Report;
  readonly tree: FlameTree;
  /** Name of the picture for screen readers. */
  readonly name: string;
  /** The larger peak of two that are compared, for the shades of differences; null if none are. */
  readonly comparedPeakBytes: number | null;
}

/** Draws itself once its element has a width, and anew when the width changes. */
export class Flamegraph {
  readonly element: HTMLElement;
  readonly #options: FlamegraphOptions;
  readonly #frames: FlameTree;
  readonly #events: FlamegraphEvents;
  readonly #tooltip: Tooltip;
  readonly #observer: ResizeObserver;
  readonly #canvas = element('div');
  #chart: FlameGraph<FlameFrame> | null = null;
  #width = 0;
  #matches: Matches = NO_MATCHES;
  #focused: FlameFrame;
  #zoomed: FlameFrame;

  constructor(options: FlamegraphOptions, events: FlamegraphEvents) {
    this.#options = options;
    this.#events = events;
    this.#frames = options.tree;
    this.#focused = this.#zoomed = this.#frames[0];
    this.element = element('div', {
      class: 'fil-flame',
      attributes: {
        tabindex: '0',
        role: 'group',
        'aria-label': `${options.name}. ${say('Arrow keys move between frames, Enter zooms in, Escape resets the zoom.')}`,
        // Else arrow keys and Enter would move between the notebook's cells.
        'data-lm-suppress-shortcuts': 'true',
      },
    });
    this.element.classList.toggle('fil-differential', options.comparedPeakBytes !== null);
    this.#tooltip = new Tooltip(options.report);
    this.element.append(this.#canvas);
    this.element.addEventListener('keydown', (event) => {
      this.#onKey(event);
    });
    this.element.addEventListener('blur', () => {
      this.#tooltip.hide();
      this.#mark();
    });
    // Before the chart's own handler, which knows only the frames that are drawn now.
    this.#canvas.addEventListener(
      'click',
      (event) => {
        this.#onClick(event);
      },
      { capture: true },
    );
    this.#observer = new ResizeObserver(() => {
      this.fit();
    });
    this.#observer.observe(this.element);
  }

  /** Marks the frames that contain a text, and tells what they held. */
  search(term: string): Matches {
    this.mark(search(this.#frames, term));
    return this.#matches;
  }

  /** Marks frames, in place of those that were marked. */
  mark(matches: Matches): void {
    this.#matches = matches;
    this.#mark();
  }

  get tree(): FlameTree {
    return this.#frames;
  }

  resetZoom(): void {
    this.#zoomTo(this.#frames[0]);
  }

  dispose(): void {
    this.#observer.disconnect();
    this.#tooltip.dispose();
    this.#chart?.destroy();
    this.#chart = null;
    // Its elements hold the tree.
    this.#canvas.remove();
    this.element.remove();
  }

  /** Draws itself as wide as its element is now, so that nothing moves later. Does nothing while it has no width. */
  fit(): void {
    const width = Math.floor(this.element.clientWidth);
    if (width === 0 || width === this.#width) {
      return;
    }
    this.#width = width;
    this.#chart ??= this.#makeChart();
    this.#chart.width(width).transitionDuration(0);
    this.#show();
    this.#chart.update();
    this.#chart.transitionDuration(zoomMilliseconds());
    this.#decorate();
  }

  #makeChart(): FlameGraph<FlameFrame> {
    const chart = flamegraph<FlameFrame>()
      .cellHeight(LEVEL_PIXELS)
      .inverted(true)
      .minFrameSize(NARROWEST_PIXELS)
      .resetHeightOnZoom(true)
      .transitionDuration(0)
      .selfValue(false)
      .sort(false)
      .title('')
      .getName(() => '')
      .setColorMapper(() => '')
      .tooltip(this.#chartTooltip())
      .onClick((node) => {
        this.#onZoom(node.data);
      });
    // The chart would make a hierarchy of all frames; a root alone is replaced by ours in #show.
    const { node, value } = this.#frames[0];
    chart(select<HTMLElement, unknown>(this.#canvas).datum({ node, value, name: '', children: [] }) as never);
    return chart;
  }

  /**
   * Gives the chart the frames that are wide enough to be seen in the present zoom. Of a large tree they are few, and the chart takes
   * its time for each that it knows.
   */
  #show(): Map<FlameFrame, Node> {
    const [root] = this.#frames;
    const path = new Set<FlameFrame>();
    for (let above: FlameFrame | null = this.#zoomed; above !== null; above = above.parent) {
      path.add(above);
    }
    const within = new Set<FlameFrame>([this.#zoomed]);
    const pixel = NARROWEST_PIXELS / Math.max(1, this.#width);
    const [coarse, fine] = [root.value * pixel, this.#zoomed.value * pixel];
    const drawn = (frame: FlameFrame): FlameFrame[] => {
      const isWithin = within.has(frame);
      const children = frame.children.filter((child) => child.value >= (isWithin ? fine : coarse) || path.has(child));
      if (isWithin) {
        children.forEach((child) => within.add(child));
      }
      return children;
    };
    const nodes = hierarchy(root, drawn);
    const nodeOf = new Map<FlameFrame, Node>();
    nodes.each((node) => {
      // By which the chart knows its elements again.
      Object.assign(node, { id: node.data.node });
      nodeOf.set(node.data, node as Node);
    });
    select<HTMLElement, unknown>(this.#canvas).datum(nodes);
    return nodeOf;
  }

  #chartTooltip(): FlameTooltip<FlameFrame> {
    return Object.assign(() => undefined, {
      show: (event: MouseEvent, { data }: Node) => {
        if (event.currentTarget instanceof Element) {
          this.#tooltip.show(data, event.currentTarget, event.clientX, this.#jumpHint(data));
        }
      },
      hide: () => {
        this.#tooltip.hide();
      },
    });
  }

  #jumpHint(frame: FlameFrame): string {
    return this.#canJump(frame) ? say('click: zoom · Alt+click: go to the line') : '';
  }

  #canJump(frame: FlameFrame): boolean {
    return this.#events.jump !== null && this.#events.canJump(frame);
  }

  #onClick(event: MouseEvent): void {
    const group = event.target instanceof Element ? event.target.closest('g.frame') : null;
    if (group === null) {
      return;
    }
    event.stopPropagation();
    const { data } = select<Element, Node>(group).datum();
    if (event.altKey && this.#canJump(data)) {
      this.#tooltip.hide();
      this.#events.jump?.(data);
    } else {
      this.#zoomTo(data);
    }
  }

  #onZoom(frame: FlameFrame): void {
    this.#focused = frame;
    this.#decorate();
    this.#events.zoomed(frame === this.#frames[0] ? null : frame);
  }

  #zoomTo(frame: FlameFrame): void {
    if (this.#chart === null) {
      return;
    }
    this.#zoomed = frame;
    for (const shown of this.#frames) {
      shown.hide = shown.fade = false;
    }
    const node = this.#show().get(frame);
    if (node !== undefined) {
      // Calls onClick, and so #onZoom.
      this.#chart.zoomTo(node);
    }
  }

  /** What the chart doesn't do: labels in parts, shades by class, and final widths at once for frames that are new. */
  #decorate(): void {
    let deepest = 0;
    const { comparedPeakBytes } = this.#options;
    for (const [group, { data, depth }] of this.#groups()) {
      const width = Number(group.getAttribute('width'));
      if (!group.hasAttribute('data-heat')) {
        group.setAttribute('data-heat', String(data.heat));
        group.setAttribute('data-kind', data.frame.kind);
        if (comparedPeakBytes !== null) {
          // An attribute, as the chart writes the classes anew.
          group.setAttribute('data-gone', String(data.compared?.now.bytes === 0));
          group.setAttribute('data-delta', String(deltaLevel(certainDeltaBytes(data), comparedPeakBytes)));
        }
        // The chart would grow it from nothing.
        group.querySelector('rect')?.setAttribute('width', String(width));
      }
      const holder = group.querySelector('foreignObject');
      const label = holder?.querySelector('.fil-label');
      if (width < LABEL_PIXELS) {
        label?.remove();
      } else if (holder && !label) {
        holder.append(labelElement(data, this.#options.report));
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
    if (event.ctrlKey || event.metaKey || (event.altKey && event.key !== 'Enter')) {
      return;
    }
    switch (event.key) {
      case 'Enter':
      case ' ':
        if (!event.altKey) {
          this.#zoomTo(this.#focused);
        } else if (this.#canJump(this.#focused)) {
          this.#events.jump?.(this.#focused);
        }
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
      this.#tooltip.show(frame, group, group.getBoundingClientRect().left, '');
    }
  }

  /** A frame in words, for readers who don't see the picture. */
  describe(frame: FlameFrame): string {
    const label = labelOf(frame);
    const parts = [label.name, label.place, label.source].filter((part) => part !== '');
    const bytes = heldBytes(frame);
    const { peakBytes, sampling } = this.#options.report;
    const share = formatShare(bytes, peakBytes);
    const amount = amountInWords(bytes, frame.sampledBytes, sampling);
    const held = `${parts.join(', ')}: ${say('%1, %2 of the peak', amount, share)}`;
    return frame.compared === null ? held : `${held}, ${differenceInWords(frame.compared)}`;
  }
}

function sibling(frame: FlameFrame, step: -1 | 1): FlameFrame | undefined {
  const siblings = frame.parent?.children ?? [];
  return siblings[siblings.indexOf(frame) + step];
}

function labelElement(flame: FlameFrame, report: Report): HTMLElement {
  const { frame, foldedFrames } = flame;
  const label = labelOf(flame);
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
  if (foldedFrames > 0) {
    text.append(' ', element('span', { class: 'fil-label-place' }, foldedWords(foldedFrames)));
  }
  const amount = element('span', { class: 'fil-label-bytes' }, amountInShort(flame, report));
  return element('div', { class: 'fil-label' }, text, amount);
}

/** `3 frames folded`. */
export function foldedWords(count: number): string {
  return count === 1 ? say('1 frame folded') : say('%1 frames folded', count.toLocaleString('en-US'));
}

function zoomMilliseconds(): number {
  return matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : ZOOM_MILLISECONDS;
}
