/**
 * The five channels: fronts that clients connect to, backs that connect to the child, and what goes between them, verbatim. This
 * module loads ZeroMQ; it is imported once the child is starting.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Dealer, Router, Subscriber, XPublisher } from 'zeromq';
import { reasonOf, StartFailure } from '../failure.js';
import { type Channel, type ConnectionFile, endpoint } from './connection.js';
import type { RunningCells } from './running-cells.js';
import { open, parseObject, publication, type Signer } from './wire.js';

/** No message is ever dropped or held back: with ZeroMQ's default marks a flood of output loses messages. */
const UNLIMITED = { sendHighWaterMark: 0, receiveHighWaterMark: 0 } as const;
/** How long our last messages may take to reach slow clients, in milliseconds. */
const LINGER = 2000;
/** How often the backs look for the child's sockets while it starts, in milliseconds. ZeroMQ's 100 would be felt. */
const RECONNECT = 20;
/** The child may have said more than we have read when it dies: it has once nothing came for this long, in milliseconds. */
const QUIET = 20;
const LONGEST_DRAIN = 10_000;

/** One identity for all backs, so that the child's questions on stdin find the way that its cells came from. */
const ROUTING_ID = 'filprofiler';
const DIALOGUES = ['shell', 'control', 'stdin'] as const;

export interface ChannelOptions {
  readonly client: ConnectionFile;
  readonly child: ConnectionFile;
  readonly signer: Signer;
  readonly cells: RunningCells;
}

export class Channels {
  readonly #options: ChannelOptions;
  readonly #fronts = new Map<Channel, Router | XPublisher>();
  readonly #dealers = new Map<Channel, Dealer>();
  readonly #published: XPublisher;
  readonly #subscriber: Subscriber;
  readonly #listening: Promise<void>;
  #publishing: Promise<void> = Promise.resolve();
  #lastHeard = 0;
  #closed = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
    const { curve_publickey: publicKey, curve_secretkey: secretKey } = options.client;
    const encryption =
      publicKey === undefined || secretKey === undefined
        ? {}
        : ({ curveServer: true, curvePublicKey: publicKey, curveSecretKey: secretKey } as const);
    const front = { ...UNLIMITED, ...encryption, linger: LINGER };
    const back = { linger: 0, reconnectInterval: RECONNECT };
    for (const channel of DIALOGUES) {
      // A client that connects again under its old identity takes its place.
      this.#fronts.set(channel, new Router({ ...front, handover: true }));
      this.#dealers.set(channel, new Dealer({ ...UNLIMITED, ...back, routingId: ROUTING_ID }));
    }
    this.#fronts.set('hb', new Router({ ...front }));
    this.#published = new XPublisher({ ...front });
    this.#fronts.set('iopub', this.#published);
    this.#subscriber = new Subscriber({ ...back, receiveHighWaterMark: UNLIMITED.receiveHighWaterMark });
    this.#listening = new Promise((resolve) => {
      this.#subscriber.events.on('handshake', () => {
        resolve();
      });
    });
  }

  /**
   * Opens the fronts. Messages wait in them until {@link start}.
   *
   * @returns the client's connection with the ports that the system chose where it said 0.
   * @throws {StartFailure} if an address can't be had.
   */
  async bind(): Promise<ConnectionFile> {
    const bound = { ...this.#options.client };
    for (const [channel, socket] of this.#fronts) {
      const address = endpoint(bound, channel);
      try {
        await socket.bind(address);
      } catch (error) {
        throw new StartFailure(
          `The kernel's ${channel} address ${address} can't be opened: ${reasonOf(error)}. Start the kernel again.`,
        );
      }
      const chosen = /:(\d+)$/.exec(socket.lastEndpoint ?? '');
      if (bound[`${channel}_port`] === 0 && chosen !== null) {
        bound[`${channel}_port`] = Number(chosen[1]);
      }
    }
    return bound;
  }

  /** Connects to the child and forwards until {@link close}. */
  start(): void {
    const { child, cells } = this.#options;
    const heartbeat = this.#fronts.get('hb');
    if (heartbeat instanceof Router) {
      // Answered here: a child that is busy starting, or holds the GIL, is not dead.
      void this.#pump(heartbeat, (frames) => heartbeat.send(frames));
    }
    void this.#pump(this.#published, (frames) => this.#welcome(frames));
    void this.#pump(this.#subscriber, (frames) => this.#republish(frames));
    for (const channel of DIALOGUES) {
      const front = this.#fronts.get(channel);
      const dealer = this.#dealers.get(channel);
      if (front instanceof Router && dealer !== undefined) {
        dealer.connect(endpoint(child, channel));
        void this.#pump(dealer, (frames) => {
          this.#lastHeard = performance.now();
          return front.send(frames);
        });
        // Requests wait until we hear what the child publishes, or the output of the first would be lost.
        void this.#listening.then(() =>
          this.#pump(front, (frames) => {
            if (channel === 'shell') {
              cells.observeRequest(frames);
            }
            return dealer.send(frames);
          }),
        );
      }
    }
    this.#subscriber.subscribe();
    this.#subscriber.connect(endpoint(child, 'iopub'));
  }

  /** Publishes a message of our own. */
  publish(frames: Buffer[]): Promise<void> {
    // In a queue: a socket takes one message at a time, and the child's messages come in between.
    this.#publishing = this.#publishing.then(() => (this.#closed ? undefined : this.#published.send(frames)));
    return this.#publishing;
  }

  /** Waits until the dead child's last messages have gone out. */
  async drain(): Promise<void> {
    const start = performance.now();
    this.#lastHeard = start;
    while (performance.now() - this.#lastHeard < QUIET && performance.now() - start < LONGEST_DRAIN) {
      await sleep(QUIET / 4);
    }
    await this.#publishing;
  }

  /** Closes everything; what was sent still goes out while the process ends. */
  close(): void {
    this.#closed = true;
    for (const socket of [...this.#fronts.values(), ...this.#dealers.values(), this.#subscriber]) {
      socket.close();
    }
  }

  async #pump(from: Dealer | Router | Subscriber | XPublisher, to: (frames: Buffer[]) => Promise<void>): Promise<void> {
    try {
      while (!this.#closed) {
        await to(await receive(from));
      }
    } catch (error) {
      if (!this.#closed) {
        throw error;
      }
    }
  }

  #republish(frames: Buffer[]): Promise<void> {
    this.#lastHeard = performance.now();
    if (this.#isWelcome(frames)) {
      return Promise.resolve();
    }
    this.#options.cells.observePublication(frames);
    return this.publish(frames);
  }

  /** The child greets its only subscriber, us; each client is greeted below. It is the only message without a topic. */
  #isWelcome(frames: Buffer[]): boolean {
    if (frames[0]?.toString('latin1', 0, 16) !== '<IDS|MSG>') {
      return false;
    }
    const envelope = open(frames, this.#options.signer);
    return envelope !== null && parseObject(envelope.header)?.['msg_type'] === 'iopub_welcome';
  }

  /** Tells a new subscriber that it will miss nothing from now on (Jupyter enhancement proposal 65). */
  #welcome([event]: Buffer[]): Promise<void> {
    if (event?.[0] !== 1) {
      return Promise.resolve();
    }
    const subscription = event.toString('utf8', 1);
    return this.publish(publication(this.#options.signer, subscription, 'iopub_welcome', { subscription }));
  }
}

/** The next message. XPUB hands on what a client publishes to it frame by frame, and says that there is more before there is. */
async function receive(socket: Dealer | Router | Subscriber | XPublisher): Promise<Buffer[]> {
  for (;;) {
    try {
      return await socket.receive();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) {
        throw error;
      }
    }
  }
}
