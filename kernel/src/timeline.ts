/** Memory over time while tracking is on: few enough points to draw, however long it takes. */
import type { Report } from '../../schema/report.js';
import type { Counters } from './addon.js';

/** Points kept at most; when there are more, every second one goes and sampling slows to half. */
const MOST_POINTS = 500;
const FIRST_INTERVAL_MS = 5;
/** The top process's number. */
const TOP = 0;

/** What is read at each moment. */
interface Sample extends Pick<Counters, 'currentBytes' | 'state'> {
  /** Bytes of other processes, by any number; added up. */
  readonly others?: ReadonlyMap<number, number>;
}

export class Timeline {
  readonly #read: () => Sample;
  readonly #start = performance.now();
  #seconds: number[] = [];
  #bytes: number[] = [];
  #parts: (ReadonlyMap<number, number> | null)[] = [];
  #intervalMs: number;
  #timer: NodeJS.Timeout;

  /** Starts sampling: every so often at first. */
  constructor(read: () => Sample, intervalMs = FIRST_INTERVAL_MS) {
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

  /** For each process that was there, and the top one (0), its bytes at the moments of {@link points}; empty if it was always alone. */
  parts(): ReadonlyMap<number, readonly number[]> {
    const numbers = new Set(this.#parts.flatMap((part) => [...(part?.keys() ?? [])]));
    return new Map(
      [...numbers].map((number) => [
        number,
        this.#parts.map((part, row) =>
          part === null ? (number === TOP ? (this.#bytes[row] ?? 0) : 0) : (part.get(number) ?? 0),
        ),
      ]),
    );
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
    const { state, currentBytes, others } = this.#read();
    if (state !== 'tracking') {
      return;
    }
    this.#seconds.push(Math.round(performance.now() - this.#start) / 1000);
    const own = Math.max(0, currentBytes);
    let sum = own;
    for (const bytes of others?.values() ?? []) {
      sum += bytes;
    }
    this.#bytes.push(sum);
    this.#parts.push(others === undefined || others.size === 0 ? null : new Map([...others, [TOP, own]]));
    if (this.#bytes.length > MOST_POINTS) {
      this.#seconds = this.#seconds.filter((_, index) => index % 2 === 0);
      this.#bytes = this.#bytes.filter((_, index) => index % 2 === 0);
      this.#parts = this.#parts.filter((_, index) => index % 2 === 0);
      this.#intervalMs *= 2;
      clearInterval(this.#timer);
      this.#timer = this.#schedule();
    }
  }
}
