/**
 * Bars beside the lines of a cell: what each held at the peak. They go when the text changes, as they would stand at wrong lines.
 */
import { type Extension, RangeSet, StateEffect, StateField } from '@codemirror/state';
import { type EditorView, gutter, GutterMarker } from '@codemirror/view';
import { formatShare } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';

/** A line with what it held. */
export interface Bar {
  /** From 1. */
  readonly line: number;
  /** Of that line as it was profiled, without indentation. */
  readonly text: string;
  readonly bytes: number;
  /** They in words: where there is little room, and with their interval in a sampled report. */
  readonly short: string;
  readonly amount: string;
}

export interface Bars {
  readonly bars: readonly Bar[];
  readonly peakBytes: number;
  /** The reader clicked on the bar of a line. */
  readonly clicked: (line: number) => void;
}

/** Shows bars in an editor, in place of those that were there; null takes them away. */
export function showBars(view: EditorView, bars: Bars | null): void {
  // Once for each editor: an effect can't reach a field that isn't there yet.
  if (view.state.field(field, false) === undefined) {
    if (bars === null) {
      return;
    }
    view.dispatch({ effects: StateEffect.appendConfig.of(extension) });
  }
  view.dispatch({ effects: setBars.of(bars) });
}

const setBars = StateEffect.define<Bars | null>();

class BarMarker extends GutterMarker {
  constructor(
    readonly bytes: number,
    readonly short: string,
    readonly amount: string,
    readonly peakBytes: number,
  ) {
    super();
  }

  override eq(other: GutterMarker): boolean {
    return (
      other instanceof BarMarker &&
      other.amount === this.amount &&
      other.bytes === this.bytes &&
      other.peakBytes === this.peakBytes
    );
  }

  override toDOM(): HTMLElement {
    const marker = document.createElement('div');
    marker.className = 'fil-bar';
    marker.title = say(
      '%1, %2 of the peak. Click: show it in the report.',
      this.amount,
      formatShare(this.bytes, this.peakBytes),
    );
    const bar = document.createElement('i');
    bar.style.width = `${Math.max(2, (46 * this.bytes) / Math.max(1, this.peakBytes))}px`;
    marker.append(this.short, bar);
    return marker;
  }
}

interface Shown {
  readonly bars: Bars | null;
  readonly markers: RangeSet<GutterMarker>;
}

const NONE: Shown = { bars: null, markers: RangeSet.of<GutterMarker>([]) };

const field = StateField.define<Shown>({
  create: () => NONE,
  update: (shown, transaction) => {
    let next = transaction.docChanged ? NONE : shown;
    for (const effect of transaction.effects) {
      if (effect.is(setBars)) {
        const { value } = effect;
        if (value === null) {
          next = NONE;
          continue;
        }
        const { doc } = transaction.state;
        const ranges = value.bars
          // Edited since it ran: the line is another one.
          .filter(({ line, text }) => line <= doc.lines && (text === '' || doc.line(line).text.trim() === text))
          .sort((a, b) => a.line - b.line)
          .map(({ line, bytes, short, amount }) =>
            new BarMarker(bytes, short, amount, value.peakBytes).range(doc.line(line).from),
          );
        next = { bars: value, markers: RangeSet.of(ranges) };
      }
    }
    return next;
  },
});

const extension: Extension = [
  field,
  gutter({
    class: 'fil-bars',
    markers: (view) => view.state.field(field).markers,
    domEventHandlers: {
      click: (view, block) => {
        const { bars } = view.state.field(field);
        const line = view.state.doc.lineAt(block.from).number;
        if (bars?.bars.some((bar) => bar.line === line) !== true) {
          return false;
        }
        bars.clicked(line);
        return true;
      },
    },
  }),
];
