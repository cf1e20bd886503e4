/**
 * What stands under the tabs. Each panel shows one tree or table; another fold or comparison makes a new one.
 */
import type { Frame } from '../../../schema/places.js';
import { isUserCode } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { amountInWords } from '../../../schema/sampling.js';
import { formatShare } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { bottomUp } from '../../../schema/tree/bottom-up.js';
import { comparedRows, mergedTree } from '../../../schema/tree/compare.js';
import { Flamegraph, type FlamegraphEvents } from './flamegraph.js';
import type { Tab, ViewHost } from './host.js';
import { LineTable } from './line-table.js';
import { type LineRow, lineRows } from '../../../schema/tree/lines.js';
import {
  flameFrames,
  type FlameFrame,
  type FlameTree,
  foldedFrames,
  type Matches,
  matching,
} from '../../../schema/tree/model.js';
import { TimeChart } from './time-chart.js';

export interface Panel {
  readonly element: HTMLElement;
  /** Shows what contains a text; returns what was found in words, empty for no text. */
  search(term: string): string;
  /** Marks what is of certain lines; tells whether there was any. */
  select(isOfInterest: (frame: Frame) => boolean): boolean;
  /** Null where there is nothing to zoom. */
  readonly resetZoom: (() => void) | null;
  /** The tree that it shows; null if it shows none. */
  readonly tree: FlameTree | null;
  /** It has been put into its place: draws itself in its size, before anybody sees it without. */
  fit(): void;
  dispose(): void;
}

export interface PanelInput {
  readonly report: Report;
  readonly isFolded: boolean;
  /** The report that it is compared with. */
  readonly before: Report | null;
  readonly host: ViewHost;
  readonly events: Pick<FlamegraphEvents, 'zoomed'> & { focused(words: string): void };
}

/** @throws {RangeError} if the report can't be drawn. */
export function makePanel(tab: Tab, input: PanelInput): Panel {
  switch (tab) {
    case 'flamegraph':
      return flamePanel(
        say('Flamegraph'),
        comparedTree(input, (_, tree) => tree),
        input,
      );
    case 'bottom-up':
      return flamePanel(say('Bottom up'), comparedTree(input, bottomUp), input);
    case 'lines':
      return linesPanel(input);
    case 'time':
      return timePanel(input);
  }
}

function treeOf(report: Report, isFolded: boolean): FlameTree {
  return isFolded ? foldedFrames(report) : flameFrames(report);
}

function comparedTree(
  { report, before, isFolded }: PanelInput,
  turn: (report: Report, tree: FlameTree) => FlameTree,
): FlameTree {
  const tree = turn(report, treeOf(report, isFolded));
  return before === null
    ? tree
    : mergedTree({ report, tree }, { report: before, tree: turn(before, treeOf(before, isFolded)) });
}

function flamePanel(name: string, tree: FlameTree, { report, before, host, events }: PanelInput): Panel {
  const { jump } = host;
  const flamegraph: Flamegraph = new Flamegraph(
    { report, tree, name, comparedPeakBytes: before === null ? null : Math.max(before.peakBytes, report.peakBytes) },
    {
      zoomed: (frame) => {
        events.zoomed(frame);
      },
      focused: (frame) => {
        events.focused(flamegraph.describe(frame));
      },
      jump:
        jump === null
          ? null
          : (frame) => {
              const target = nearestToJump(frame, host);
              if (target !== null) {
                jump(target);
              }
            },
      canJump: (frame) => nearestToJump(frame, host) !== null,
    },
  );
  return {
    element: flamegraph.element,
    tree,
    search: (term) => {
      const found = flamegraph.search(term);
      const { size } = found.frames;
      const count = size === 1 ? say('1 frame') : say('%1 frames', size);
      return foundInWords(term, size, count, found, report);
    },
    select: (isOfInterest) => {
      const matches = matching(tree, ({ frame }) => isOfInterest(frame));
      flamegraph.mark(matches);
      return matches.frames.size > 0;
    },
    resetZoom: () => {
      flamegraph.resetZoom();
    },
    fit: () => {
      flamegraph.fit();
    },
    dispose: () => {
      flamegraph.dispose();
    },
  };
}

/** A frame's own line if the reader has it in an editor, else that of its nearest caller. */
function nearestToJump(frame: FlameFrame, host: ViewHost): Frame | null {
  for (let above: FlameFrame | null = frame; above !== null; above = above.parent) {
    if (host.canJump(above.frame)) {
      return above.frame;
    }
  }
  return null;
}

function linesPanel({ report, before, isFolded, host }: PanelInput): Panel {
  const rowsOf = (of: Report): LineRow[] =>
    lineRows(treeOf(of, isFolded), ({ frame }) => !isFolded || isUserCode(frame));
  const rows = before === null ? rowsOf(report) : comparedRows(rowsOf(report), rowsOf(before));
  const { jump } = host;
  const table = new LineTable(report, rows, before, {
    jump:
      jump === null
        ? null
        : ({ frame }) => {
            jump(frame);
          },
    canJump: ({ frame, frames }) => frames.length > 0 && host.canJump(frame),
  });
  return {
    element: table.element,
    tree: null,
    search: (term) => {
      const found = table.search(term);
      const count = found.rows === 1 ? say('1 line') : say('%1 lines', found.rows);
      return foundInWords(term, found.rows, count, found, report);
    },
    select: () => false,
    resetZoom: null,
    fit: () => undefined,
    dispose: () => {
      table.element.remove();
    },
  };
}

function timePanel({ report, before }: PanelInput): Panel {
  const chart = new TimeChart(report, before);
  return {
    element: chart.element,
    tree: null,
    search: () => '',
    select: () => false,
    resetZoom: null,
    fit: () => {
      chart.fit();
    },
    dispose: () => {
      chart.dispose();
    },
  };
}

/** `3 frames, 38.1 MiB (± 2.1 %), 66 %`: the interval is that of the sum. */
export function foundInWords(
  term: string,
  found: number,
  count: string,
  { bytes, sampledBytes }: Pick<Matches, 'bytes' | 'sampledBytes'>,
  { peakBytes, sampling }: Report,
): string {
  if (term.trim() === '') {
    return '';
  }
  return found === 0
    ? say('not found')
    : `${count}, ${amountInWords(bytes, sampledBytes, sampling)}, ${formatShare(bytes, peakBytes)}`;
}
