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
import { type CellPlace, reportDataOf } from './places.js';
import { profileCells } from './profile-cells.js';
import { SampledBadge } from './sampled-badge.js';
import type { Settings } from './settings.js';

export interface SampledCellsOptions {
  readonly tracker: INotebookTracker;
  readonly kernels: Kernels;
  readonly settings: Settings;
}

/** A page's comm with a kernel: until the kernel ends, whose runs have the same numbers in its next life. */
interface Opening {
  isOver: boolean;
}

/** The kernel's process ends, is gone, or is another one. */
const ENDS: readonly Kernel.Status[] = ['restarting', 'autorestarting', 'terminating', 'dead'];

export class SampledCells {
  readonly #options: SampledCellsOptions;
  readonly #badges = new Map<CodeCell, SampledBadge>();
  readonly #openings = new WeakMap<Kernel.IKernelConnection, Opening>();
  /** Of which life of the kernel a badge tells. */
  readonly #openingOf = new WeakMap<SampledBadge, Opening>();
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
    sessionContext.statusChanged.connect((_, status) => {
      const kernel = sessionContext.session?.kernel ?? null;
      const opening = kernel === null ? undefined : this.#openings.get(kernel);
      if (opening !== undefined && (ENDS.includes(status) || status === 'starting')) {
        opening.isOver = true;
      }
      ask();
    });
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
    const isOpen = this.#openings.get(kernel)?.isOver === false;
    if (!settings.samplesCells) {
      if (isOpen) {
        this.#openings.delete(kernel);
        send(kernel, { type: 'comm_close' });
      }
    } else if (!isOpen && isOurs && !ENDS.includes(kernel.status)) {
      this.#openings.set(kernel, { isOver: false });
      this.#open(kernel);
    }
  }

  /** Tells a kernel that this page is there: before it runs the first cell, and when it asks. */
  #open(kernel: Kernel.IKernelConnection): void {
    if (this.#openings.has(kernel)) {
      send(kernel, { type: 'comm_open' });
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
    const kernel = panel.sessionContext.session?.kernel ?? null;
    const opening = kernel === null ? undefined : this.#openings.get(kernel);
    if (kernel === null || opening === undefined) {
      return;
    }
    if (news.kind === 'report') {
      for (const [cell, badge] of this.#badges) {
        const isMeant = badge.told.serial === news.serial && this.#openingOf.get(badge) === opening;
        if (isMeant && panel.content.widgets.includes(cell)) {
          badge.take(news.bundle);
        }
      }
      return;
    }
    if (news.kind === 'roll-call') {
      this.#open(kernel);
      return;
    }
    const cell = panel.content.widgets.find(({ model }) => model.id === news.cellId);
    if (cell instanceof CodeCell) {
      void cell.ready.then(() => {
        if (!cell.isDisposed && (!news.isRepeated || this.#isMissing(cell, news))) {
          this.#show({ panel, cell }, news, kernel, opening);
        }
      });
    }
  }

  /** Whether a cell that ran before this page was there shows nothing about it, and no later run either. */
  #isMissing(cell: CodeCell, { executionCount }: SampledCell): boolean {
    const shown = cell.model.executionCount;
    return !this.#badges.has(cell) && (shown === null || shown === executionCount) && reportDataOf(cell) === null;
  }

  #show({ panel, cell }: CellPlace, told: SampledCell, kernel: Kernel.IKernelConnection, opening: Opening): void {
    this.#remove(cell);
    const { layout } = cell;
    const badge = new SampledBadge(told, panel.content.rendermime, {
      ask: (serial) => {
        const isThere = this.#openings.get(kernel) === opening && !opening.isOver;
        // Its answer is a message to all pages; the process's own reply comes when it is idle.
        return (
          isThere &&
          kernel.connectionStatus === 'connected' &&
          send(kernel, { type: 'comm_msg', wish: { report: serial } })
        );
      },
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
    this.#openingOf.set(badge, opening);
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

/** What a page says: that it is there, that it is not any more, or what it wants. */
type Said = { readonly type: 'comm_open' | 'comm_close' } | { readonly type: 'comm_msg'; readonly wish: ReportWish };

function messageOf({ username, clientId: session }: Kernel.IKernelConnection, said: Said) {
  const from = { channel: 'shell', username, session } as const;
  const page = { comm_id: `${SAMPLED_CELLS}.${session}`, data: {} };
  switch (said.type) {
    case 'comm_open': {
      const content = { ...page, target_name: SAMPLED_CELLS };
      return KernelMessage.createMessage<KernelMessage.ICommOpenMsg<'shell'>>({ ...from, msgType: said.type, content });
    }
    case 'comm_msg': {
      const content = { ...page, data: said.wish };
      return KernelMessage.createMessage<KernelMessage.ICommMsgMsg<'shell'>>({ ...from, msgType: said.type, content });
    }
    case 'comm_close':
      return KernelMessage.createMessage<KernelMessage.ICommCloseMsg<'shell'>>({
        ...from,
        msgType: said.type,
        content: page,
      });
  }
}

/**
 * Says something by the page's comm, in the order of the cells. Lab's own comms would open a subshell, which is a thread in the user's
 * process, and the first cells would overtake them.
 *
 * @returns whether it can be said.
 */
function send(kernel: Kernel.IKernelConnection, said: Said): boolean {
  try {
    kernel.sendShellMessage(messageOf(kernel, said), false, true).done.catch(() => undefined);
    return true;
  } catch {
    // It is dead. Once there is another it is told.
    return false;
  }
}
