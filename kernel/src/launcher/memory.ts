/** The program's memory under the command line: what is done when it runs out, and what is said. */
import { figuresInWords, type OutOfMemoryCause, reasonInWords } from '../../../schema/out-of-memory.js';
import type { Segment } from '../addon.js';
import { MemoryMatters, type MemorySettings } from '../memory-matters.js';
import { beLaterVictimThan } from '../oom-score.js';
import type { Ending } from './ending.js';
import { say } from './say.js';

/** Of a program that ran out of memory; that of Fil 2024.11. */
const OUT_OF_MEMORY_STATUS = 53;

export class ProgramMemory {
  readonly #matters: MemoryMatters;
  readonly #segment: Segment;
  readonly #acts: boolean;
  #subprocessKilled = false;

  /**
   * Begins to watch.
   *
   * @param onSubprocessKilled the program lives on; a report of this moment is wanted.
   */
  constructor(
    segment: Segment,
    child: number,
    settings: MemorySettings,
    onSubprocessKilled: (cause: OutOfMemoryCause) => void,
  ) {
    beLaterVictimThan(child);
    this.#segment = segment;
    this.#acts = settings.acts;
    this.#matters = new MemoryMatters(
      segment,
      child,
      { ...settings, guards: false },
      (command, pid, cause) => {
        this.#subprocessKilled = true;
        this.#tell(cause);
        say(`It was process ${pid}: ${command}. The program goes on.`);
        onSubprocessKilled(cause);
      },
      (cause) => {
        say(`Memory is short, but it is not this program that has taken it. (${figuresInWords(cause)})`);
      },
    );
  }

  /** What the program's end has to do with memory, and says so; undefined if nothing. */
  async causeOf(ending: Ending): Promise<OutOfMemoryCause | undefined> {
    const cause = await this.#matters.causeOfDeath({
      exitCode: ending.kind === 'exited' ? ending.value : null,
      signalNumber: ending.kind === 'killed' ? ending.value : null,
    });
    this.#matters.stop();
    if (cause !== undefined) {
      this.#tell(cause);
    }
    return cause;
  }

  /** The status to end with; null for the program's own: memory sufficed, or the system has killed it, or we are to do nothing. */
  statusFor(cause: OutOfMemoryCause | undefined): number | null {
    const outOfMemory = this.#subprocessKilled || (cause !== undefined && cause.rule !== 'killed-by-system');
    return this.#acts && outOfMemory ? OUT_OF_MEMORY_STATUS : null;
  }

  #tell(cause: OutOfMemoryCause): void {
    const { failure } = this.#segment.snapshot();
    const requested = cause.action === 'raised' && failure !== null ? failure.bytes : null;
    say(`Out of memory: ${reasonInWords(cause, requested)}\n(${figuresInWords(cause)})`);
  }
}
