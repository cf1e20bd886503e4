/**
 * The side panel: the notebook's profiled cells, and which variables hold the memory now.
 */
import { CodeCell } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { LabIcon } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import type { MemoryLimit, Report } from '../../../schema/report.js';
import { sampledFigures, type SampledCell } from '../../../schema/sampled-cell.js';
import { mostUnseenBytes, sampledKeptBytes, sampledPeakBytes } from '../../../schema/sampling.js';
import { formatBytes, formatSeconds } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { peakParts } from '../../../schema/summary.js';
import { element } from '../view/dom.js';
import { unpackReport } from '../view/unpack.js';
import type { Kernels } from './kernels.js';
import { MemoryNow } from './memory-now.js';
import type { SampledCells } from './sampled-cells.js';
import { cellLabel, goToCell, promptLabel, reportDataOf } from './places.js';

const REFRESH_MILLISECONDS = 300;

/** A profiled cell in figures. */
interface Row {
  readonly cell: CodeCell;
  readonly nth: number;
  readonly peakBytes: number;
  readonly keptBytes: number;
  readonly seconds: number;
  readonly memoryLimit: MemoryLimit | null;
  /** Of estimates, what is to be known about them; null if all was counted. */
  readonly estimate: string | null;
  /** What it held at most where nothing was seen; null where something was. */
  readonly unseenBytes: number | null;
}

type Order = 'nth' | 'peakBytes' | 'keptBytes' | 'seconds';

export class Overview extends Widget {
  readonly #tracker: INotebookTracker;
  readonly #sampled: SampledCells;
  readonly #cells = element('div');
  readonly #now: MemoryNow;
  /** Figures of reports, by their packed text: unpacking takes milliseconds each. */
  readonly #figures = new Map<string, Omit<Row, 'cell' | 'nth'> | null>();
  readonly #onChange = (): void => {
    this.refresh();
  };
  #panel: NotebookPanel | null = null;
  #order: Order = 'nth';
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(tracker: INotebookTracker, kernels: Kernels, sampled: SampledCells, icon: LabIcon) {
    super();
    this.#sampled = sampled;
    sampled.changed.connect(this.#onChange);
    this.#tracker = tracker;
    this.id = 'fil-overview';
    this.addClass('fil-overview');
    this.title.icon = icon;
    this.title.caption = say('Memory profiles');
    this.#now = new MemoryNow(kernels, () => this.#limit());
    const read = element('button', { class: 'fil-button', attributes: { type: 'button' } }, say('Refresh'));
    read.addEventListener('click', () => {
      void this.#now.read();
    });
    this.node.append(
      element('h2', {}, say('Profiled cells')),
      this.#cells,
      element('h2', {}, say('Memory now'), ' ', read),
      this.#now.element,
    );
    tracker.currentChanged.connect(this.#follow, this);
  }

  /** Reads the figures anew, once for several wishes in short time. */
  refresh(): void {
    if (this.isVisible) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#drawCells();
      }, REFRESH_MILLISECONDS);
    }
  }

  override dispose(): void {
    clearTimeout(this.#timer);
    this.#panel?.content.modelContentChanged.disconnect(this.#onChange);
    this.#sampled.changed.disconnect(this.#onChange);
    this.#tracker.currentChanged.disconnect(this.#follow, this);
    this.#now.dispose();
    super.dispose();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.#follow();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.#now.isVisible = false;
  }

  #follow(): void {
    const { currentWidget } = this.#tracker;
    if (currentWidget !== this.#panel) {
      this.#panel?.content.modelContentChanged.disconnect(this.#onChange);
      this.#panel = currentWidget;
      currentWidget?.content.modelContentChanged.connect(this.#onChange);
      this.#now.follow(currentWidget);
    }
    this.#now.isVisible = this.isVisible;
    this.refresh();
  }

  #drawCells(): void {
    const rows = this.#rows();
    if (rows.length === 0) {
      this.#cells.replaceChildren(
        element('p', { class: 'fil-soft' }, say('None yet. Run a cell with "Profile This Cell".')),
      );
      return;
    }
    const order = this.#order;
    rows.sort((a, b) => (order === 'nth' ? a.nth - b.nth : b[order] - a[order]));
    const columns: [Order, string][] = [
      ['nth', say('Cell')],
      ['peakBytes', say('Peak')],
      ['keptBytes', say('Kept')],
      ['seconds', say('Time')],
    ];
    const header = columns.map(([by, title]) => {
      const arrow = order !== by ? '' : by === 'nth' ? ' ▴' : ' ▾';
      const button = element('button', { attributes: { type: 'button' } }, title, arrow);
      button.addEventListener('click', () => {
        this.#order = by;
        this.#drawCells();
        this.node.querySelector<HTMLElement>('th[aria-sort] button')?.focus();
      });
      const attributes: Record<string, string> = { scope: 'col' };
      if (order === by) {
        attributes['aria-sort'] = by === 'nth' ? 'ascending' : 'descending';
      }
      return element('th', { attributes }, button);
    });
    this.#cells.replaceChildren(
      element(
        'table',
        {},
        element('thead', {}, element('tr', {}, ...header)),
        element('tbody', {}, ...rows.map((row) => this.#rowElement(row))),
      ),
    );
  }

  #rowElement({ cell, peakBytes, keptBytes, seconds, estimate, unseenBytes }: Row): HTMLElement {
    const amount = (bytes: number): HTMLElement => {
      if (estimate === null) {
        return element('td', {}, formatBytes(bytes));
      }
      const text = unseenBytes === null ? `≈ ${formatBytes(bytes)}` : `< ${formatBytes(unseenBytes)}`;
      return element('td', { title: estimate }, text);
    };
    const firstLine = cell.model.sharedModel
      .getSource()
      .split('\n')
      .find((line) => line.trim() !== '' && !line.startsWith('%%'));
    const jump = element(
      'button',
      { class: 'fil-link', title: firstLine ?? '', attributes: { type: 'button', 'aria-label': cellLabel(cell) } },
      promptLabel(cell.model.executionCount),
    );
    jump.addEventListener('click', () => {
      if (this.#panel !== null) {
        void goToCell(this.#panel, cell);
      }
    });
    return element(
      'tr',
      {},
      element('td', {}, jump, ' ', element('code', { class: 'fil-soft' }, firstLine ?? '')),
      amount(peakBytes),
      amount(keptBytes),
      element('td', {}, formatSeconds(seconds)),
    );
  }

  /** How much memory there is, as the latest report tells. */
  #limit(): MemoryLimit | null {
    const rows = this.#rows().sort((a, b) => (b.cell.model.executionCount ?? 0) - (a.cell.model.executionCount ?? 0));
    return rows.find(({ memoryLimit }) => memoryLimit !== null)?.memoryLimit ?? null;
  }

  #rows(): Row[] {
    const rows: Row[] = [];
    const used = new Set<string>();
    this.#panel?.content.widgets.forEach((cell, nth) => {
      const data = reportDataOf(cell);
      const sampled = this.#sampled.figuresOf(cell);
      if (!(cell instanceof CodeCell)) {
        return;
      }
      if (data === null) {
        if (sampled !== null) {
          rows.push(rowOf(cell, nth, sampled));
        }
        return;
      }
      const key = JSON.stringify(data);
      used.add(key);
      let figures = this.#figures.get(key);
      if (figures === undefined) {
        figures = figuresOf(data);
        this.#figures.set(key, figures);
      }
      if (figures !== null) {
        rows.push({ cell, nth, ...figures });
      }
    });
    for (const key of this.#figures.keys()) {
      if (!used.has(key)) {
        this.#figures.delete(key);
      }
    }
    return rows;
  }
}

function rowOf(cell: CodeCell, nth: number, sampled: SampledCell): Row {
  const { peakBytes, keptBytes, durationSeconds: seconds } = sampled;
  return {
    cell,
    nth,
    peakBytes,
    keptBytes,
    seconds,
    memoryLimit: null,
    estimate: sampledFigures(sampled).long,
    unseenBytes: peakBytes === 0 ? mostUnseenBytes(sampled) : null,
  };
}

/** How sure the figures of a sampled report are; null for one that is exact. */
function estimateOf(report: Report): string | null {
  const { sampling, peakBytes, durationSeconds } = report;
  if (sampling === undefined) {
    return null;
  }
  const keptBytes = peakParts(report)?.keptBytes ?? 0;
  const peakSampledBytes = sampledPeakBytes(report);
  const keptSampledBytes = sampledKeptBytes(keptBytes, sampling);
  return sampledFigures({ ...sampling, peakBytes, peakSampledBytes, keptBytes, keptSampledBytes, durationSeconds })
    .long;
}

function figuresOf(data: unknown): Omit<Row, 'cell' | 'nth'> | null {
  try {
    const report = unpackReport(data);
    return {
      peakBytes: report.peakBytes,
      keptBytes: peakParts(report)?.keptBytes ?? 0,
      seconds: report.durationSeconds,
      memoryLimit: report.memoryLimit ?? null,
      estimate: estimateOf(report),
      unseenBytes: report.sampling !== undefined && report.peakBytes === 0 ? mostUnseenBytes(report.sampling) : null,
    };
  } catch {
    // The cell itself says why.
    return null;
  }
}
