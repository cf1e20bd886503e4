/**
 * What cells held that nobody profiled: with the setting on, Fil's kernel samples them and tells it by a comm. It stands in a badge below the
 * cell, outside of its outputs, so that a notebook stores nothing of it.
 */
import { type Cell, CodeCell } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { type Kernel, KernelMessage } from '@jupyterlab/services';
import { type ISignal, Signal } from '@lumino/signaling';
import { PanelLayout } from '@lumino/widgets';
import { REPORT_MIME_TYPE } from '../../../schema/report.js';
import { SAMPLED_CELLS, SampledCell } from '../../../schema/sampled-cell.js';
import type { Kernels } from './kernels.js';
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
      if (!settings.samplesCells) {
        [...this.#badges.keys()].forEach((cell) => {
          this.#remove(cell);
        });
      }
    });
  }

  /** Some cell has other figures now, or none. */
  get changed(): ISignal<this, undefined> {
    return this.#changed;
  }

  /** The data of the report of a cell's sample; null if it has none. */
  reportDataOf(cell: Cell): unknown {
    return cell instanceof CodeCell ? (this.#badges.get(cell)?.bundle[REPORT_MIME_TYPE] ?? null) : null;
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
    const kernel = panel.isDisposed ? null : panel.sessionContext.session?.kernel;
    if (!kernel?.handleComms || (kernel.status !== 'idle' && kernel.status !== 'busy')) {
      return;
    }
    const { kernels, settings } = this.#options;
    const isOpen = kernel.hasComm(SAMPLED_CELLS);
    if (!settings.samplesCells) {
      const comm = this.#comms.get(kernel);
      if (isOpen && comm?.isDisposed === false) {
        comm.close();
      }
    } else if (!isOpen && kernels.canProfile(panel)) {
      const comm = kernel.createComm(SAMPLED_CELLS, SAMPLED_CELLS);
      this.#comms.set(kernel, comm);
      // A kernel that is gone is asked again when there is one.
      comm.open().done.catch(() => undefined);
    }
  }

  #take(panel: NotebookPanel, data: unknown): void {
    const told = SampledCell.safeParse(data);
    if (!told.success || !this.#options.settings.samplesCells) {
      return;
    }
    const { cellId, bundle } = told.data;
    const cell = panel.content.widgets.find(({ model }) => model.id === cellId);
    if (cell instanceof CodeCell) {
      void cell.ready.then(() => {
        if (!cell.isDisposed) {
          this.#show(panel, cell, bundle);
        }
      });
    }
  }

  #show(panel: NotebookPanel, cell: CodeCell, bundle: SampledCell['bundle']): void {
    this.#remove(cell);
    const { layout } = cell;
    const badge = SampledBadge.of(bundle, panel.content.rendermime, {
      exact: () => void profileCells(panel, [cell], this.#options.kernels, this.#options.settings),
      keep: () => {
        const output = { output_type: 'display_data', data: bundle, metadata: {} };
        cell.model.outputs.add(output as Parameters<typeof cell.model.outputs.add>[0]);
        this.#remove(cell);
      },
    });
    if (badge === null || !(layout instanceof PanelLayout)) {
      return;
    }
    this.#badges.set(cell, badge);
    layout.addWidget(badge);
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
      }
      this.#changed.emit(undefined);
    });
    this.#changed.emit(undefined);
  }

  #remove(cell: CodeCell): void {
    this.#badges.get(cell)?.dispose();
  }
}
