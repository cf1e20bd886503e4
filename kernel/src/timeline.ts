/** Memory over time while tracking is on: few enough points to draw, however long it takes. */
import type { Report } from '../../schema/report.js';
import type { Counters } from './addon.js';

/** Points kept at most; when there are more, every second one goes and sampling slows to half. */
const MOST_POINTS = 500;
const FIRST_INTERVAL_MS = 5;

export class Timeline {
  readonly #read: () => Pick<Counters, 'currentBytes' | 'state'>;
  readonly #start = performance.now();
  #seconds: number[] = [];
  #bytes: number[] = [];
  #intervalMs: number;
  #timer: NodeJS.Timeout;

  /** Starts sampling: every so often at first. */
  constructor(read: () => Pick<Counters, 'currentBytes' | 'state'>, intervalMs = FIRST_INTERVAL_MS) {
    this.#read = read;
    this.#intervalMs = intervalMs;
    this.#timer = this.#schedule();
  }

  /** What was sampled until now: at most `most` points, evenly chosen; the newest is among them. */
  points(most = MOST_POINTS): Report['timeline'] {
    const step = Math.max(1, Math.ceil(this.#seconds.length / most));
    const isChosen = (_: number, index: number): boolean => (this.#seconds.length - 1 - index) % step === 0;
    return { seconds: this.#seconds.filter(isChosen), bytes: this.#bytes.filter(isChosen) };
  }

  /** Ends sampling and returns the points. */
  stop(): Report['timeline'] {
    clearInterval(this.#timer);
    return this.points();
  }

  #schedule(): NodeJS.Timeout {
    return setInterval(() => {
      this.#sample();
    }, this.#intervalMs).unref();
  }

  #sample(): void {
    const { state, currentBytes } = this.#read();
    if (state !== 'tracking') {
      return;
    }
    this.#seconds.push(Math.round(performance.now() - this.#start) / 1000);
    this.#bytes.push(Math.max(0, currentBytes));
    if (this.#bytes.length > MOST_POINTS) {
      this.#seconds = this.#seconds.filter((_, index) => index % 2 === 0);
      this.#bytes = this.#bytes.filter((_, index) => index % 2 === 0);
      this.#intervalMs *= 2;
      clearInterval(this.#timer);
      this.#timer = this.#schedule();
    }
  }
}
