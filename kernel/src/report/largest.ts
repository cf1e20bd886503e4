/**
 * The most that a call stack held in any of several runs.
 *
 * Of estimates the largest is too high by chance, the more so the more runs there are: a stack that holds 2 KiB in each of a hundred runs
 * is seen in a few of them, and stands for 32 KiB there; over thousands of such stacks that adds up to more than there is. So runs that
 * differ by what can be chance alone count as one, by their mean.
 */
import { canBeChance, type Estimate } from '../../../schema/sampling.js';

export class Largest {
  #runs = 0;
  /** Sums over these runs. */
  #bytes = 0;
  #sampledBytes = 0;
  #sampling: Estimate['sampling'];

  /** @param times how many runs held that. */
  add(held: Estimate, times = 1): void {
    const most = this.estimate();
    const isEstimate = held.sampledBytes > 0 || most.sampledBytes > 0;
    if (this.#runs > 0 && isEstimate && canBeChance(held, most)) {
      this.#runs += times;
      this.#bytes += times * held.bytes;
      this.#sampledBytes += times * held.sampledBytes;
      // The coarser of both: its intervals are too wide for the other, not too narrow.
      this.#sampling =
        (this.#sampling?.meanBytes ?? 0) > (held.sampling?.meanBytes ?? 0) ? this.#sampling : held.sampling;
    } else if (this.#runs === 0 || held.bytes > most.bytes) {
      this.#runs = times;
      this.#bytes = times * held.bytes;
      this.#sampledBytes = times * held.sampledBytes;
      this.#sampling = held.sampling;
    }
  }

  /** In whole bytes; nothing if no run was added. */
  estimate(): Estimate {
    const runs = Math.max(1, this.#runs);
    return {
      bytes: Math.round(this.#bytes / runs),
      sampledBytes: Math.round(this.#sampledBytes / runs),
      sampling: this.#sampling,
    };
  }
}
