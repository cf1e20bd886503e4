/**
 * A kernel waits most of its life. Once nothing has happened for a while, the proxy gives back what starting, observing cells and making
 * reports have left in its memory.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Addon } from '../addon.js';

/** Longer than people need from one cell to the next, or each would pay for the pages of the last. */
const IDLE_MS = 2000;

/** Makes V8 give its pages back instead of keeping them for later. */
const LAST_RESORT = { type: 'major', execution: 'sync', flavor: 'last-resort' };

export class IdleMemory {
  readonly #collectGarbage: () => void;
  readonly #timer: NodeJS.Timeout;

  constructor(addon: Pick<Addon, 'releaseResident'>) {
    // V8's own collection waits for allocations, which an idle program does not make.
    setFlagsFromString('--expose-gc');
    const collect: unknown = runInNewContext('gc');
    this.#collectGarbage =
      typeof collect === 'function' ? () => void Reflect.apply(collect, undefined, [LAST_RESORT]) : () => undefined;
    this.#timer = setTimeout(() => {
      this.#collectGarbage();
      addon.releaseResident();
    }, IDLE_MS).unref();
  }

  /** Something happened. */
  touch(): void {
    this.#timer.refresh();
  }
}
