/**
 * The lines of the program with what they held at the peak, most first.
 */
import { frameLabel, type FrameLabel, libraryOf } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { canBeChance, intervalInWords, intervalOfChange } from '../../../schema/sampling.js';
import { mappedInWords } from '../../../schema/summary.js';
import { formatBytes, formatDelta, formatShare } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { element } from './dom.js';
import {
  FIRST_ROWS,
  type LineOrder,
  type LineRow,
  ownDeltaBytes,
  ownEstimate,
  sortRows,
} from '../../../schema/tree/lines.js';

export interface LineTableEvents {
  /** The reader wants to see a line; null where nobody can show it. */
  readonly jump: ((row: LineRow) => void) | null;
  canJump(row: LineRow): boolean;
}

interface Column {
  readonly order: LineOrder | null;
  readonly title: string;
  readonly explanation: string;
}

/** A table whose columns sort it. Made anew with every change of what it shows. */
export class LineTable {
  readonly element = element('div', { class: 'fil-lines' });
  readonly #report: Report;
  readonly #rows: readonly LineRow[];
  readonly #events: LineTableEvents;
  /** The report that it is compared with. */
  readonly #before: Report | null;
  #order: LineOrder;
  #term = '';
  #isWhole = false;

  constructor(report: Report, rows: readonly LineRow[], before: Report | null, events: LineTableEvents) {
    this.#report = report;
    this.#rows = rows;
    this.#before = before;
    this.#order = before === null ? 'own' : 'delta';
    this.#events = events;
    this.#draw();
  }

  /** Leaves only lines that contain a text, literally, in any case. Tells how many those are and what they held. */
  search(term: string): { readonly rows: number; readonly bytes: number; readonly sampledBytes: number } {
    this.#term = term.trim().toLowerCase();
    const rows = this.#draw();
    return {
      rows: rows.length,
      bytes: rows.reduce((sum, { ownBytes }) => sum + ownBytes, 0),
      sampledBytes: rows.reduce((sum, { ownSampledBytes }) => sum + ownSampledBytes, 0),
    };
  }

  #draw(): readonly LineRow[] {
    const all = sortRows(this.#rows, this.#order);
    const rows = this.#term === '' ? all : all.filter((row) => this.#searchText(row).includes(this.#term));
    const shown = this.#isWhole ? rows : rows.slice(0, FIRST_ROWS);
    const table = element(
      'table',
      {},
      element('caption', { class: 'fil-spoken' }, say('Lines by the memory that they held at the peak')),
      element('thead', {}, element('tr', {}, ...this.#columns().map((column) => this.#header(column)))),
      element('tbody', {}, ...shown.map((row) => this.#row(row))),
    );
    this.element.replaceChildren(table);
    if (shown.length < rows.length) {
      const more = element('button', { class: 'fil-button', attributes: { type: 'button' } });
      more.textContent = say('Show all %1 lines', rows.length.toLocaleString('en-US'));
      more.addEventListener('click', () => {
        this.#isWhole = true;
        this.#draw();
      });
      this.element.append(more);
    }
    return rows;
  }

  #columns(): Column[] {
    const columns: Column[] = [
      { order: 'own', title: say('Own'), explanation: say('allocated by the line itself') },
      { order: 'total', title: say('Total'), explanation: say('by the line and everything that it called') },
    ];
    if (this.#before !== null) {
      columns.push({ order: 'delta', title: say('Change'), explanation: say('own bytes, compared with before') });
    }
    columns.push(
      { order: null, title: say('Share'), explanation: say('own bytes of the peak') },
      { order: null, title: say('Line'), explanation: '' },
    );
    return columns;
  }

  #header({ order, title, explanation }: Column): HTMLElement {
    if (order === null) {
      return element('th', { title: explanation, attributes: { scope: 'col' } }, title);
    }
    const isSorted = order === this.#order;
    const button = element(
      'button',
      { title: explanation, attributes: { type: 'button' } },
      title,
      element('span', { attributes: { 'aria-hidden': 'true' } }, isSorted ? ' ▾' : ''),
    );
    button.addEventListener('click', () => {
      this.#order = order;
      this.#draw();
      this.element.querySelector<HTMLElement>('th[aria-sort] button')?.focus();
    });
    const attributes: Record<string, string> = { scope: 'col' };
    if (isSorted) {
      attributes['aria-sort'] = 'descending';
    }
    return element('th', { class: 'fil-number', attributes }, button);
  }

  #row(row: LineRow): HTMLElement {
    const { ownBytes, totalBytes } = row;
    const cells = [this.#amount(ownBytes, row.ownSampledBytes), this.#amount(totalBytes, row.totalSampledBytes)];
    if (this.#before !== null) {
      cells.push(this.#change(row, this.#before));
    }
    const bar = element('i', { attributes: { 'aria-hidden': 'true' } });
    bar.style.width = `${(60 * ownBytes) / Math.max(1, this.#report.peakBytes)}px`;
    const share = element('td', { class: 'fil-share' }, bar, formatShare(ownBytes, this.#report.peakBytes));
    return element('tr', {}, ...cells, share, element('td', {}, ...this.#where(row)));
  }

  /** Bytes, with their interval where they are estimated. */
  #amount(bytes: number, sampledBytes: number): HTMLElement {
    const interval = bytes === 0 ? '' : intervalInWords(bytes, sampledBytes, this.#report.sampling);
    return element('td', { class: 'fil-number' }, formatBytes(bytes), ...intervalElements(interval));
  }

  /** Own bytes more or less than before; in the colour of neither where that can be chance. */
  #change(row: LineRow, before: Report): HTMLElement {
    const [now, then] = [ownEstimate(row, this.#report), ownEstimate(row.before, before)];
    const delta = ownDeltaBytes(row);
    const kind = delta === 0 || canBeChance(now, then) ? 'same' : delta > 0 ? 'more' : 'less';
    // Of lines that held nothing of their own in either, no more is said than of that nothing.
    const interval = now.bytes === 0 && then.bytes === 0 ? '' : intervalOfChange(now, then);
    return element('td', { class: `fil-number fil-${kind}` }, formatDelta(delta), ...intervalElements(interval));
  }

  #where(row: LineRow): (Node | string)[] {
    const { name, place, source } = this.#label(row);
    const { jump } = this.#events;
    const words = place === '' ? name : `${name} (${place})`;
    let where: HTMLElement = element('span', {}, words);
    if (jump !== null && this.#events.canJump(row)) {
      where = element(
        'button',
        { class: 'fil-link', title: say('Go to the line'), attributes: { type: 'button' } },
        words,
      );
      where.addEventListener('click', () => {
        jump(row);
      });
    }
    if (row.frames.length === 0) {
      where.append(' ', element('span', { class: 'fil-soft' }, say('gone')));
    }
    const mapped = mappedInWords(row.mapped);
    return [
      where,
      ...(mapped === '' ? [] : [element('span', { class: 'fil-soft' }, ` ${mapped}`)]),
      ...(source === '' ? [] : [' ', element('code', { class: 'fil-line-source' }, source)]),
    ];
  }

  /** A line that is gone is one of the earlier run. */
  #label({ frame, frames }: LineRow): FrameLabel {
    const { subject } = frames.length === 0 && this.#before !== null ? this.#before : this.#report;
    return frameLabel(frame, subject);
  }

  #searchText(row: LineRow): string {
    const { frame } = row;
    const { name, place, source } = this.#label(row);
    return `${name}\n${place}\n${source}\n${frame.file}:${frame.line}\n${libraryOf(frame.file)}`.toLowerCase();
  }
}

function intervalElements(interval: string): HTMLElement[] {
  return interval === '' ? [] : [element('span', { class: 'fil-interval' }, ` ${interval}`)];
}
