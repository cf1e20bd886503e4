/**
 * Signals, taken over by the first statement that the program runs: one that arrives while the rest loads is kept, not lost and not
 * deadly. Nothing may be imported here that takes time to load.
 */

/** What a front end, a terminal or an administrator sends to a kernel, and what belongs to the user's program. */
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;
export type ForwardedSignal = (typeof FORWARDED)[number];

type Receiver = (signal: ForwardedSignal) => void;

const early: ForwardedSignal[] = [];
let receiver: Receiver | null = null;

for (const signal of FORWARDED) {
  process.on(signal, () => {
    if (receiver === null) {
      early.push(signal);
    } else {
      receiver(signal);
    }
  });
}

/** From now on signals go to `next`; those that arrived before do so at once. */
export function onSignal(next: Receiver): void {
  receiver = next;
  for (const signal of early.splice(0)) {
    next(signal);
  }
}
