/**
 * What cells held that nobody profiled: with the setting on, Fil's kernel samples them and tells it by a comm. It stands in a badge below the
 * cell, outside of its outputs, so that a notebook stores nothing of it.
 */
import { type Cell, CodeCell } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { type Kernel, KernelMessage } from '@jupyterlab/services';
import { type ISignal, Signal } from '@lumino/signaling';
import { PanelLayout } from '@lumino/widgets';
import { type ReportWish, SAMPLED_CELLS, type SampledCell, SampledNews } from '../../../schema/sampled-cell.js';
import type { Kernels } from './kernels.js';
import { reportDataOf } from './places.js';
import { profileCells } from './profile-cells.js';
import { SampledBadge } from './sampled-badge.js';
import type { Settings } from './settings.js';

export interface SampledCellsOptions {
  readonly tracker: INotebookTracker;
  readonly kernels: Kernels;
  readonly settings: Settings;
}

export class SampledCells {
  readonly #options: SampledCellsOptions;
  readonly #badges = new Map<CodeCell, SampledBadge>();
  readonly #comms = new WeakMap<Kernel.IKernelConnection, Kernel.IComm>();
  readonly #changed = new Signal<this, undefined>(this);

  constructor(options: SampledCellsOptions) {
    this.#options = options;
    const { tracker, settings } = options;
    tracker.widgetAdded.connect((_, panel) => {
      this.#followPanel(panel);
    });
    tracker.forEach((panel) => {
      this.#followPanel(panel);
    });
    settings.changed.connect(() => {
      tracker.forEach((panel) => {
        this.#ask(panel);
      });
    });
  }

  /** Some cell has other figures now, or none. */
  get changed(): ISignal<this, undefined> {
    return this.#changed;
  }

  /** What is known of a cell's last run by samples; null if nothing is. */
  figuresOf(cell: Cell): SampledCell | null {
    return cell instanceof CodeCell ? (this.#badges.get(cell)?.told ?? null) : null;
  }

  #followPanel(panel: NotebookPanel): void {
    const { sessionContext } = panel;
    const ask = (): void => {
      this.#ask(panel);
    };
    // Also after a restart, which ends comms.
    sessionContext.statusChanged.connect(ask);
    sessionContext.kernelChanged.connect(ask);
    sessionContext.iopubMessage.connect((_, message) => {
      if (KernelMessage.isCommMsgMsg(message) && message.content.comm_id === SAMPLED_CELLS) {
        this.#take(panel, message.content.data);
      }
    });
    ask();
  }

  /** Tells a notebook's kernel whether its cells are to be sampled. Says nothing to kernels that were never asked. */
  #ask(panel: NotebookPanel): void {
    const kernel = panel.isDisposed ? null : (panel.sessionContext.session?.kernel ?? null);
    if (kernel === null) {
      return;
    }
    const { kernels, settings } = this.#options;
    const isOurs = kernels.canProfile(panel);
    if (!settings.samplesCells || !isOurs) {
      this.#clear(panel);
    } else {
      panel.content.addClass('fil-samples');
    }
    if (!kernel.handleComms || (kernel.status !== 'idle' && kernel.status !== 'busy')) {
      return;
    }
    const isOpen = kernel.hasComm(SAMPLED_CELLS);
    if (!settings.samplesCells) {
      const comm = this.#comms.get(kernel);
      if (isOpen && comm?.isDisposed === false) {
        comm.close();
      }
    } else if (!isOpen && isOurs) {
      const comm = kernel.createComm(SAMPLED_CELLS, SAMPLED_CELLS);
      this.#comms.set(kernel, comm);
      // A kernel that is gone is asked again when there is one.
      comm.open().done.catch(() => undefined);
    }
  }

  /** A notebook without badges, and without room for them. */
  #clear({ content }: NotebookPanel): void {
    content.removeClass('fil-samples');
    content.widgets.forEach((cell) => {
      this.#remove(cell);
    });
  }

  #take(panel: NotebookPanel, data: unknown): void {
    const told = SampledNews.safeParse(data);
    if (!told.success || !this.#options.settings.samplesCells) {
      return;
    }
    const { data: news } = told;
    if (news.kind === 'report') {
      for (const [cell, badge] of this.#badges) {
        if (badge.told.serial === news.serial && panel.content.widgets.includes(cell)) {
          badge.take(news.bundle);
        }
      }
      return;
    }
    const cell = panel.content.widgets.find(({ model }) => model.id === news.cellId);
    if (cell instanceof CodeCell) {
      void cell.ready.then(() => {
        if (!cell.isDisposed && (!news.isRepeated || this.#isMissing(cell, news))) {
          this.#show(panel, cell, news);
        }
      });
    }
  }

  /** Whether a cell that ran before this page was there shows nothing about it, and no later run either. */
  #isMissing(cell: CodeCell, { executionCount }: SampledCell): boolean {
    const shown = cell.model.executionCount;
    return !this.#badges.has(cell) && (shown === null || shown === executionCount) && reportDataOf(cell) === null;
  }

  #show(panel: NotebookPanel, cell: CodeCell, told: SampledCell): void {
    this.#remove(cell);
    const { layout } = cell;
    const kernel = panel.sessionContext.session?.kernel ?? null;
    const badge = new SampledBadge(told, panel.content.rendermime, {
      ask: (serial) => this.#wish(kernel, { report: serial }),
      exact: () => void profileCells(panel, [cell], this.#options.kernels, this.#options.settings),
      keep: (bundle) => {
        const output = { output_type: 'display_data', data: bundle, metadata: {} };
        cell.model.outputs.add(output as Parameters<typeof cell.model.outputs.add>[0]);
        this.#remove(cell);
      },
    });
    if (!(layout instanceof PanelLayout)) {
      badge.dispose();
      return;
    }
    this.#badges.set(cell, badge);
    layout.addWidget(badge);
    cell.addClass('fil-has-badge');
    // It runs again, or its outputs were cleared.
    const onState = (_: unknown, { name, newValue }: { name: string; newValue: unknown }): void => {
      if (
        (name === 'executionState' && newValue === 'running') ||
        (name === 'executionCount' && typeof newValue !== 'number')
      ) {
        this.#remove(cell);
      }
    };
    const { model } = cell;
    model.stateChanged.connect(onState);
    badge.disposed.connect(() => {
      model.stateChanged.disconnect(onState);
      if (this.#badges.get(cell) === badge) {
        this.#badges.delete(cell);
        cell.removeClass('fil-has-badge');
      }
      this.#changed.emit(undefined);
    });
    this.#changed.emit(undefined);
  }

  /** Asks a kernel for a report; returns whether it is there to be asked. */
  #wish(kernel: Kernel.IKernelConnection | null, wish: ReportWish): boolean {
    const comm = kernel === null ? undefined : this.#comms.get(kernel);
    if (comm === undefined || comm.isDisposed || kernel?.connectionStatus !== 'connected') {
      return false;
    }
    // Its answer is a message to all front ends; the process's own reply comes when it is idle.
    comm.send(wish).done.catch(() => undefined);
    return true;
  }

  #remove(cell: Cell): void {
    const badge = cell instanceof CodeCell ? this.#badges.get(cell) : undefined;
    if (badge === undefined) {
      return;
    }
    const hadFocus = badge.node.contains(document.activeElement);
    badge.dispose();
    if (hadFocus && cell.parent !== null) {
      // Or keys would go nowhere.
      cell.parent.activate();
    }
  }
}
