/**
 * What the watch over the process's memory sees, in the words of a report: both front doors, the kernel and the command line, own one.
 */
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type OutOfMemory, type OutOfMemoryCause, reasonInWords } from '../../schema/out-of-memory.js';
import type { MemoryEvent, MemoryFigures, MemoryWatch, Segment } from './addon.js';

export interface MemorySettings {
  /** What has to be left, in bytes; 0 for 100 MB or 2 % of the limit, at most a tenth of it, at least 30 MB. */
  readonly headroomBytes: number;
  /** What the processes may hold together, in bytes; 0 for what there is. */
  readonly limitBytes: number;
  /** Whether anything is done when memory runs out; what happened is told in any case. */
  readonly acts: boolean;
}

/** What a cell asks for itself. */
export interface CellSettings {
  /** What it may hold, in bytes; null or not given for what there is. */
  readonly limitBytes?: number | null | undefined;
  /** What has to be left; null or not given for what the process was started with, as with the next. */
  readonly headroomBytes?: number | null | undefined;
  readonly guard?: boolean | null | undefined;
}

/** How a process ended, with the number of the signal that ended it. */
export interface ProcessEnd {
  readonly exitCode: number | null;
  readonly signalNumber: number | null;
}

/** After a failed allocation, a crash so soon is its consequence. */
const CRASH_SECONDS = 1;
/** An event of the watch's thread arrives within one turn of the loop; a process takes ten times as long to die. */
const NEWS_TAKES_MS = 10;
/** A killed process's last reading is of a moment before: the system struck with a little more left. */
const NEARLY_NOTHING = 1.5;
/** Status of Python after an exception that nobody caught. */
const UNCAUGHT = 1;

/** Why a process was killed from outside, by what was last read of it; undefined if there was memory enough. */
export function causeIfKilled(figures: MemoryFigures): OutOfMemoryCause | undefined {
  const { availableBytes, headroomBytes } = figures;
  return availableBytes !== null && availableBytes < headroomBytes * NEARLY_NOTHING
    ? causeOf(figures, 'killed-by-system', 'none')
    : undefined;
}

export class MemoryMatters {
  readonly #segment: Segment;
  readonly #watch: MemoryWatch;
  readonly #settings: MemorySettings;
  #limitBytes: number | null = null;
  #hasEnded = false;
  /** The last event of each kind since the running cell began. */
  readonly #events = new Map<MemoryEvent['kind'], MemoryEvent>();

  /**
   * Watches a process and those that it starts.
   *
   * @param guards whether running cells are interrupted before anything is killed.
   * @param onSubprocessKilled is told the command.
   * @param onElse is told that memory is short, and that the process has not taken it.
   */
  constructor(
    segment: Segment,
    pid: number,
    settings: MemorySettings & { readonly guards: boolean },
    onSubprocessKilled: (command: string, pid: number, cause: OutOfMemoryCause) => void,
    onElse: (cause: OutOfMemoryCause) => void = () => undefined,
  ) {
    this.#segment = segment;
    this.#settings = settings;
    this.#watch = segment.watchMemory({ pid, ...settings }, (event) => {
      this.#events.set(event.kind, event);
      if (event.kind === 'killed-subprocess') {
        onSubprocessKilled(
          event.command,
          event.subject,
          causeOf(event.figures, event.figures.rule, 'killed-subprocess'),
        );
      } else if (event.kind === 'not-the-cause') {
        onElse(causeOf(event.figures, event.figures.rule, 'none'));
      }
    });
  }

  /** A cell, or a profile, begins: what happened before does not concern it. */
  begin(settings: CellSettings): void {
    this.#events.clear();
    this.#apply(settings);
  }

  /** It has ended: its settings hold no longer. */
  end(): void {
    this.#apply({});
  }

  #apply({ limitBytes, headroomBytes, guard }: CellSettings): void {
    if (this.#hasEnded) {
      return;
    }
    this.#limitBytes = limitBytes ?? null;
    this.#segment.setBudget(this.#limitBytes);
    this.#watch.setAction(headroomBytes ?? this.#settings.headroomBytes, guard ?? this.#settings.acts);
  }

  /** Why the running cell gets a MemoryError: one sentence. */
  get shortage(): string {
    const { failure } = this.#segment.snapshot();
    return reasonInWords(this.#raised(), failure === null || failure.bytes === 0 ? null : failure.bytes);
  }

  /** The cause of a MemoryError that the code did not catch; undefined for another end. */
  causeOfError({ memoryError }: { readonly memoryError?: boolean | undefined }): OutOfMemoryCause | undefined {
    return memoryError === true ? this.#raised() : undefined;
  }

  /** What the death of the process has to do with memory; undefined if nothing. To be asked once, at its end. */
  async causeOfDeath(end: ProcessEnd): Promise<OutOfMemoryCause | undefined> {
    await sleep(NEWS_TAKES_MS);
    const killed = this.#events.get('killed-program');
    if (killed !== undefined) {
      return causeOf(killed.figures, killed.figures.rule, 'killed-program');
    }
    const figures = this.#watch.figures();
    const { failure } = this.#segment.snapshot();
    if (end.exitCode === UNCAUGHT && this.#segment.counters().uncaughtMemoryError) {
      return this.#failedAllocation();
    }
    const { SIGABRT, SIGSEGV, SIGKILL } = constants.signals;
    const crashed = end.signalNumber === SIGABRT || end.signalNumber === SIGSEGV;
    if (crashed && failure !== null && Number(process.hrtime.bigint()) / 1e9 - failure.atSeconds <= CRASH_SECONDS) {
      return this.#failedAllocation();
    }
    if (end.signalNumber === SIGKILL) {
      return this.#watch.freshOomKills() > 0 ? causeOf(figures, 'killed-by-system', 'none') : causeIfKilled(figures);
    }
    return undefined;
  }

  /** The cause of a MemoryError: that it was asked for, or an allocation that failed. */
  #raised(): OutOfMemoryCause {
    const asked = this.#events.get('interrupt-requested');
    return asked === undefined ? this.#failedAllocation() : causeOf(asked.figures, asked.figures.rule, 'raised');
  }

  /** The exception has let go of memory since: what was counted then is in the marks. */
  #failedAllocation(): OutOfMemoryCause {
    const cause = causeOf(this.#watch.figures(), 'failed-allocation', 'raised');
    const { failure, failureSiteBytes, peakBytes } = this.#segment.snapshot();
    const trackedBytes = failure === null ? peakBytes : failureSiteBytes.reduce((sum, bytes) => sum + bytes, 0);
    const budget = this.#limitBytes;
    if (budget !== null && failure?.refused === true && trackedBytes + failure.bytes > budget) {
      return {
        ...cause,
        rule: 'budget',
        limitOf: 'cell',
        limitBytes: budget,
        availableBytes: budget - trackedBytes,
        headroomBytes: null,
        trackedBytes,
      };
    }
    return { ...cause, trackedBytes };
  }

  stop(): void {
    this.#hasEnded = true;
    this.#watch.stop();
  }
}

const LIMIT_OF = { host: 'machine', cgroup: 'container', chosen: 'processes' } as const satisfies Record<
  MemoryFigures['level'],
  OutOfMemory['limitOf']
>;

function causeOf(figures: MemoryFigures, rule: OutOfMemory['rule'], action: OutOfMemory['action']): OutOfMemoryCause {
  return {
    rule,
    action,
    limitOf: rule === 'budget' ? 'cell' : LIMIT_OF[figures.level],
    limitBytes: figures.limitBytes,
    availableBytes: figures.availableBytes,
    headroomBytes: rule === 'budget' ? null : figures.headroomBytes,
    trackedBytes: Math.max(0, figures.trackedBytes),
    residentBytes: figures.residentBytes,
    swappedBytes: figures.swappedBytes,
  };
}
