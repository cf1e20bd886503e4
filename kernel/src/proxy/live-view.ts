/**
 * The live view: how a profiled cell is going, in its output, until the report takes its place. The proxy alone makes it, as the process
 * is busy. Where it can stand, and how it goes again, is decided by the forwarder, which sees what else the cell shows.
 */
import { randomUUID } from 'node:crypto';
import type { LiveProfile } from '../../../schema/live.js';
import type { CellDisplay } from '../addon.js';
import { EMPTY_BUNDLE, toLiveBundle } from '../output/live.js';
import type { Session } from '../session.js';
import { type Header, publication, type Signer } from './wire.js';

/** Shorter cells have their report at once; a view before it would flicker. */
const FIRST_AFTER_MS = 750;
const INTERVAL_MS = 500;
/** An update may take this share of the proxy's time at most. */
const LARGEST_SHARE = 0.02;
/**
 * After five minutes there are fewer updates, so that a cell that runs for a day has thousands and not a hundred thousand: servers keep
 * them for clients that are away.
 */
const UPDATES_OVER_ELAPSED_TIME = 600;

/** Where it is shown: the cell of a request. */
export interface CellOutput {
  followCell(requestId: string): void;
  showInCell(display: CellDisplay): void;
  updateInCell(serial: number, frames: readonly Buffer[]): void;
  leaveCell(): void;
  readonly shownInCell: number;
}

export interface LiveViewOptions {
  readonly session: Pick<Session, 'progress' | 'running'>;
  readonly signer: Signer;
  readonly display: CellOutput;
  /** The header of a request as its client wrote it; undefined if it is not known. */
  readonly headerOf: (requestId: string) => Header | undefined;
}

/** The cell of the running profile. */
interface Cell {
  readonly parent: Header;
  /** The last figures. */
  latest: LiveProfile | null;
}

export class LiveView {
  readonly #options: LiveViewOptions;
  readonly #name = randomUUID();
  #request: Session['running'] = null;
  #cell: Cell | null = null;
  #timer: NodeJS.Timeout | undefined;
  #serial = 0;

  constructor(options: LiveViewOptions) {
    this.#options = options;
  }

  /** The session's profile may be another one now, or none: shows the new one, takes the old one's view away. */
  follow(): void {
    const { session, display, headerOf } = this.#options;
    const request = session.running;
    if (request === this.#request) {
      return;
    }
    this.#request = request;
    clearTimeout(this.#timer);
    if (this.#cell !== null) {
      this.#cell = null;
      display.leaveCell();
    }
    const id = request?.parentHeader?.['msg_id'];
    if (request?.live !== true || request.parentHeader === null || typeof id !== 'string') {
      return;
    }
    display.followCell(id);
    this.#cell = { parent: headerOf(id) ?? request.parentHeader, latest: null };
    this.#schedule(FIRST_AFTER_MS);
  }

  /** The profiled code has ended, and its report is being made. */
  reporting(): void {
    clearTimeout(this.#timer);
    const cell = this.#cell;
    if (cell?.latest) {
      this.#update(cell, { ...cell.latest, phase: 'reporting' });
    }
  }

  #schedule(milliseconds: number): void {
    this.#timer = setTimeout(() => {
      this.#tick();
    }, milliseconds).unref();
  }

  #tick(): void {
    const cell = this.#cell;
    if (cell === null) {
      return;
    }
    const start = performance.now();
    let progress;
    try {
      progress = this.#options.session.progress();
    } catch {
      // The segment is damaged, as the report will say.
      return;
    }
    let interval = INTERVAL_MS;
    if (progress !== null) {
      const cost = performance.now() - start;
      interval = Math.max(
        INTERVAL_MS,
        cost / LARGEST_SHARE,
        (1000 * progress.elapsedSeconds) / UPDATES_OVER_ELAPSED_TIME,
      );
      cell.latest = { ...progress, phase: 'running', nextSeconds: interval / 1000 };
      if (!this.#update(cell, cell.latest)) {
        this.#show(cell, cell.latest);
      }
    }
    this.#schedule(interval);
  }

  /** Returns whether there was anything to update. */
  #update(cell: Cell, live: LiveProfile): boolean {
    const { display } = this.#options;
    const serial = display.shownInCell;
    if (serial === 0) {
      return false;
    }
    display.updateInCell(serial, this.#message(cell, 'update_display_data', toLiveBundle(live, true), serial));
    return true;
  }

  #show(cell: Cell, live: LiveProfile): void {
    const serial = ++this.#serial;
    this.#options.display.showInCell({
      serial,
      display: this.#message(cell, 'display_data', toLiveBundle(live, false), serial),
      // When something else is shown, so that the cell does not become smaller in between.
      clearing: publication(this.#options.signer, 'clear_output', 'clear_output', { wait: true }, cell.parent),
      emptying: this.#message(cell, 'update_display_data', EMPTY_BUNDLE, serial),
    });
  }

  #message(
    { parent }: Cell,
    type: 'display_data' | 'update_display_data',
    data: Readonly<Record<string, unknown>>,
    serial: number,
  ): Buffer[] {
    const content = { data, metadata: {}, transient: { display_id: `${this.#name}-${serial}` } };
    return publication(this.#options.signer, type, type, content, parent);
  }
}
