/**
 * The five channels: fronts that clients connect to, backs that connect to the child, and what goes between them, verbatim, on a thread
 * of the native addon. This module loads ZeroMQ; it is imported once the child is starting.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { bundled, type CellDisplay, type Forwarder, loadAddon } from '../addon.js';
import { reasonOf, StartFailure } from '../failure.js';
import { CHANNELS, type ConnectionFile, endpoint } from './connection.js';
import { SAMPLED_CELLS } from '../../../schema/sampled-cell.js';
import type { RunningCells } from './running-cells.js';
import { publication, type Signer } from './wire.js';

/** How long our last messages may take to reach slow clients, in milliseconds. */
const LINGER = 2000;
/** How often the backs look for the child's sockets while it starts, in milliseconds. ZeroMQ's 100 would be felt. */
const RECONNECT = 20;
/** The child may have said more than we have read when it dies: it has once nothing came for this long, in milliseconds. */
const QUIET = 20;
const LONGEST_DRAIN = 10_000;
/** A cell that empties its output over and over draws something of its own; our display would flash in it. */
const DISPLAY_TIMES = { afterOutputMilliseconds: 750, afterClearMilliseconds: 3000 } as const;
const ROUTING_ID = 'filprofiler';
/** Ends of the topics of what {@link RunningCells} looks at. */
const OBSERVED_TOPICS = ['.execute_input', '.status'];

export interface ChannelOptions {
  readonly client: ConnectionFile;
  readonly child: ConnectionFile;
  readonly signer: Signer;
  readonly cells: RunningCells;
  /** Takes what front ends say by the comm about sampled cells: the message's frames, not verified. */
  readonly onComm: (frames: readonly Buffer[]) => void;
  /** Called soon after something passed. */
  readonly onActivity: () => void;
}

export class Channels {
  readonly #options: ChannelOptions;
  readonly #forwarder: Forwarder;
  #closed = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
    const addon = loadAddon();
    this.#forwarder = new addon.Forwarder(
      {
        library: bundled('zeromq.node'),
        curvePublicKey: options.client.curve_publickey,
        curveSecretKey: options.client.curve_secretkey,
        routingId: ROUTING_ID,
        lingerMilliseconds: LINGER,
        reconnectMilliseconds: RECONNECT,
        observedTopics: OBSERVED_TOPICS,
        observedComm: SAMPLED_CELLS,
      },
      () => {
        this.#takeNotice();
      },
    );
  }

  /**
   * Opens the fronts. Messages wait in them until {@link start}.
   *
   * @returns the client's connection with the ports that the system chose where it said 0.
   * @throws {StartFailure} if an address can't be had.
   */
  bind(): ConnectionFile {
    const bound = { ...this.#options.client };
    for (const channel of CHANNELS) {
      const address = endpoint(bound, channel);
      let opened: string;
      try {
        opened = this.#forwarder.bind(channel, address);
      } catch (error) {
        throw new StartFailure(
          `The kernel's ${channel} address ${address} can't be opened: ${reasonOf(error)}. Start the kernel again.`,
        );
      }
      const chosen = /:(\d+)$/.exec(opened);
      if (bound[`${channel}_port`] === 0 && chosen !== null) {
        bound[`${channel}_port`] = Number(chosen[1]);
      }
    }
    return bound;
  }

  /** Connects to the child and forwards until {@link close}. */
  start(): void {
    const { child } = this.#options;
    this.#forwarder.start({
      shell: endpoint(child, 'shell'),
      control: endpoint(child, 'control'),
      stdin: endpoint(child, 'stdin'),
      iopub: endpoint(child, 'iopub'),
    });
  }

  /** Publishes a message of our own. */
  publish(frames: Buffer[]): void {
    if (!this.#closed) {
      this.#forwarder.publish(frames);
    }
  }

  /** Follows the output of a request's cell from now on, for a display of ours in it. */
  followCell(requestId: string): void {
    if (!this.#closed) {
      this.#forwarder.followCell(requestId, DISPLAY_TIMES);
    }
  }

  /** Shows a display in the followed cell, if it can be now: see {@link Forwarder.showInCell}. */
  showInCell(display: CellDisplay): void {
    if (!this.#closed) {
      this.#forwarder.showInCell(display);
    }
  }

  /** Publishes a message about the display of that serial, if it is still shown. */
  updateInCell(serial: number, frames: readonly Buffer[]): void {
    if (!this.#closed) {
      this.#forwarder.updateInCell(serial, frames);
    }
  }

  /** Takes the display away and follows no cell any more. */
  leaveCell(): void {
    if (!this.#closed) {
      this.#forwarder.leaveCell();
    }
  }

  /** Serial of the display that the followed cell shows; 0 if it shows none. */
  get shownInCell(): number {
    return this.#closed ? 0 : this.#forwarder.shownInCell;
  }

  /** Waits until the dead child's last messages have gone out and are known to {@link RunningCells}. */
  async drain(): Promise<void> {
    const start = performance.now();
    let waited: number;
    do {
      await sleep(QUIET / 4);
      waited = performance.now() - start;
    } while (Math.min(waited, this.#forwarder.quietMilliseconds) < QUIET && waited < LONGEST_DRAIN);
    this.#takeNotice();
  }

  /** Closes everything, once clients have what was sent. */
  close(): void {
    this.#closed = true;
    this.#forwarder.close();
  }

  #takeNotice(): void {
    if (this.#closed) {
      return;
    }
    const { cells, onActivity, onComm } = this.#options;
    onActivity();
    for (const { kind, frames } of this.#forwarder.take()) {
      switch (kind) {
        case 'request':
          if (!cells.observeRequest(frames)) {
            onComm(frames);
          }
          break;
        case 'publication':
          cells.observePublication(frames);
          break;
        case 'subscription':
          this.#welcome(frames);
          break;
      }
    }
  }

  /** Tells a new subscriber that it will miss nothing from now on (Jupyter enhancement proposal 65). */
  #welcome([event]: readonly Buffer[]): void {
    const subscription = event?.toString('utf8', 1) ?? '';
    this.publish(publication(this.#options.signer, subscription, 'iopub_welcome', { subscription }));
  }
}
