/** The reports that a program asks for itself, by `filprofiler.api`, under `fil-profile python`. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { OutOfMemoryCause } from '../../../schema/out-of-memory.js';
import type { Addon, Segment } from '../addon.js';
import type { ControlEndpoint } from '../control.js';
import type { KeptState } from '../kept-state.js';
import { choosePrivateDirectory, makePrivateDirectory, removePrivateDirectory } from '../proxy/private-directory.js';
import { startWatchdog, type Watchdog } from '../proxy/watchdog.js';
import type { ProcessTree } from '../process-tree.js';
import type { Session } from '../session.js';
import { type Ending, outcomeOf } from './ending.js';
import { tellReport } from './files.js';

/** The program's process, and what is known of it. */
interface Watched {
  readonly segment: Segment;
  readonly child: number;
  readonly state: KeptState | null;
  readonly tree: ProcessTree | null;
  readonly exactTree: boolean;
}

export class RequestedReports {
  /** Signals are the program's. */
  readonly writeNow = null;
  readonly environment: Readonly<Record<string, string>>;
  readonly #watched: Watched;
  readonly #directory = choosePrivateDirectory();
  readonly #watchdog: Watchdog;
  readonly #address = `ipc://${join(this.#directory, 'control')}`;
  readonly #key = randomBytes(32).toString('hex');
  #session: Session | null = null;
  #endpoint: ControlEndpoint | null = null;

  /** To be made before the program starts. */
  constructor(addon: Addon, watched: Watched) {
    this.#watched = watched;
    this.#watchdog = startWatchdog(this.#directory);
    try {
      makePrivateDirectory(this.#directory);
    } catch (error) {
      // Whatever stands there is not ours to remove.
      this.#watchdog.dismiss();
      throw error;
    }
    const { controlEndpoint, controlKey } = addon.environmentNames;
    this.environment = { [controlEndpoint]: this.#address, [controlKey]: this.#key };
  }

  /** Opens the control endpoint. A program that asks before waits until it is there. */
  async begin(): Promise<void> {
    const [{ ControlEndpoint }, { Session }, { VERSION }] = await Promise.all([
      import('../control.js'),
      import('../session.js'),
      import('../version.js'),
    ]);
    const session = new Session({ ...this.#watched, pid: this.#watched.child, version: VERSION });
    this.#session = session;
    this.#endpoint = await ControlEndpoint.open(this.#address, this.#key, (request) => session.handle(request));
  }

  /** The report of a call that the program did not live to see the end of. */
  async writeLast(ending: Ending, outOfMemory?: OutOfMemoryCause): Promise<void> {
    if (this.#session?.running?.outputDirectory) {
      tellReport(await this.#session.end(outcomeOf(ending), undefined, outOfMemory));
    }
  }

  close(): void {
    this.#endpoint?.close();
    removePrivateDirectory(this.#directory);
    this.#watchdog.dismiss();
  }
}
