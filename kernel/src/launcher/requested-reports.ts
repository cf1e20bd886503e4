/** The reports that a program asks for itself, by `filprofiler.api`, under `fil-profile python`. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Addon, Segment } from '../addon.js';
import type { ControlEndpoint } from '../control.js';
import { choosePrivateDirectory, makePrivateDirectory, removePrivateDirectory } from '../proxy/private-directory.js';
import { startWatchdog, type Watchdog } from '../proxy/watchdog.js';
import type { Session } from '../session.js';
import { type Ending, outcomeOf } from './ending.js';
import { tellReport } from './files.js';

export class RequestedReports {
  /** Signals are the program's. */
  readonly writeNow = null;
  readonly environment: Readonly<Record<string, string>>;
  readonly #session: Session;
  readonly #endpoint: ControlEndpoint;
  readonly #directory: string;
  readonly #watchdog: Watchdog;

  private constructor(
    environment: Readonly<Record<string, string>>,
    session: Session,
    endpoint: ControlEndpoint,
    directory: string,
    watchdog: Watchdog,
  ) {
    this.environment = environment;
    this.#session = session;
    this.#endpoint = endpoint;
    this.#directory = directory;
    this.#watchdog = watchdog;
  }

  /** Opens the control endpoint. To be called before the program starts. */
  static async open(addon: Addon, segment: Segment, child: number): Promise<RequestedReports> {
    const [{ ControlEndpoint }, { Session }, { VERSION }] = await Promise.all([
      import('../control.js'),
      import('../session.js'),
      import('../version.js'),
    ]);
    const directory = choosePrivateDirectory();
    const watchdog = startWatchdog(directory);
    try {
      makePrivateDirectory(directory);
    } catch (error) {
      // Whatever stands there is not ours to remove.
      watchdog.dismiss();
      throw error;
    }
    const session = new Session({ segment, pid: child, version: VERSION });
    const address = `ipc://${join(directory, 'control')}`;
    const key = randomBytes(32).toString('hex');
    const endpoint = await ControlEndpoint.open(address, key, (request) => session.handle(request));
    const { controlEndpoint, controlKey } = addon.environmentNames;
    return new RequestedReports(
      { [controlEndpoint]: address, [controlKey]: key },
      session,
      endpoint,
      directory,
      watchdog,
    );
  }

  /** The report of a call that the program did not live to see the end of. */
  async writeLast(ending: Ending): Promise<void> {
    if (this.#session.running?.outputDirectory) {
      tellReport(await this.#session.end(outcomeOf(ending)));
    }
  }

  close(): void {
    this.#endpoint.close();
    removePrivateDirectory(this.#directory);
    this.#watchdog.dismiss();
  }
}
