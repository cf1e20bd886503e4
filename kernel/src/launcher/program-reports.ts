/** The reports of a program that is profiled from its beginning to its end. */
import type { Segment } from '../addon.js';
import { reasonOf } from '../failure.js';
import type { KeptState } from '../kept-state.js';
import type { OutOfMemoryCause } from '../../../schema/out-of-memory.js';
import type { ReportOutcome } from '../../../schema/report.js';
import type { ProcessTree } from '../process-tree.js';
import type { Session } from '../session.js';
import type { PeakSummary } from './budget.js';
import { type BrowserChoice, openInBrowser, wantsBrowser } from './browser.js';
import { type Ending, outcomeOf } from './ending.js';
import { tellReport } from './files.js';
import { makeReportDirectory, makeTemporaryReportDirectory, removeIfEmpty } from './report-directory.js';
import { say, sayFailure } from './say.js';

export interface ProgramOptions {
  readonly child: number;
  readonly segment: Segment;
  readonly state: KeptState | null;
  readonly tree: ProcessTree | null;
  readonly exactTree: boolean;
  readonly python: string;
  readonly command: readonly string[];
  readonly output: string;
  readonly browser: BrowserChoice;
}

export class ProgramReports {
  readonly environment: Readonly<Record<string, string>>;
  last: PeakSummary | null = null;
  readonly #options: ProgramOptions;
  #session: Session | null = null;
  /** Reports are made one after the other. */
  #latest: Promise<unknown> = Promise.resolve();

  /**
   * To be made before the program starts.
   *
   * @param trackProgram name of the variable by which the tracker is told to begin by itself.
   */
  constructor(trackProgram: string, options: ProgramOptions) {
    this.environment = { [trackProgram]: '1' };
    this.#options = options;
    const shown = wantsBrowser(options.browser) ? ', and opened in a browser' : '';
    say(
      `When the program ends, a report of its memory is written into ${options.output}${shown}.\n` +
        `For a report while it runs: kill -USR2 ${process.pid}`,
    );
  }

  /** Begins to look at the program; what is asked for until then comes afterwards. */
  begin(): Promise<void> {
    const begun = this.#begin();
    this.#latest = begun.catch(() => undefined);
    return begun;
  }

  async #begin(): Promise<void> {
    const [{ Session }, { VERSION }] = await Promise.all([import('../session.js'), import('../version.js')]);
    const { segment, child, command, state, tree, exactTree } = this.#options;
    this.#session = new Session({ segment, pid: child, version: VERSION, state, tree, exactTree });
    this.#session.begin({
      type: 'begin',
      id: 0,
      subject: { kind: 'program', command: [...command] },
      title: null,
      cells: [],
      parentHeader: null,
      outputDirectory: null,
      live: false,
    });
  }

  /** The report at the program's end. A program that never began has none: Python has said why. */
  async writeLast(ending: Ending, outOfMemory?: OutOfMemoryCause): Promise<void> {
    const { segment, python, browser } = this.#options;
    await this.#latest;
    if (!segment.counters().programBegan) {
      this.#session?.giveUp();
      return;
    }
    const page = await this.#write(outcomeOf(ending), outOfMemory);
    if (page !== null) {
      this.#session?.giveUp();
    }
    if (page !== null && wantsBrowser(browser)) {
      openInBrowser(python, page);
    }
  }

  /** A report while the program goes on. */
  readonly writeNow = (): void => {
    this.#latest = this.#latest
      .then(() => this.#writeRunning())
      .catch((error: unknown) => {
        sayFailure('The report could not be made', error);
      });
  };

  /** The same of the moment when memory ran out in a process that the program has started. */
  readonly writeOutOfMemory = (outOfMemory: OutOfMemoryCause): void => {
    this.#latest = this.#latest
      .then(() => this.#write({ kind: 'running' }, outOfMemory))
      .then(
        () => undefined,
        (error: unknown) => {
          sayFailure('The report could not be made', error);
        },
      );
  };

  async #writeRunning(): Promise<void> {
    if (this.#options.segment.counters().programBegan) {
      await this.#write({ kind: 'running' });
    } else {
      say('There is nothing to report: the program has not begun yet.');
    }
  }

  /** What of the program is kept is not let go of here: its report may not have been written. */
  readonly close = (): void => undefined;

  /** @returns the page's path; null if there is none. */
  async #write(outcome: ReportOutcome, outOfMemory?: OutOfMemoryCause): Promise<string | null> {
    const session = this.#session;
    if (session === null) {
      throw new Error('asked for before the program began');
    }
    // A full disk, most likely, or a directory that has gone. The run must not be lost for that.
    for (const makeDirectory of [
      () => makeReportDirectory(this.#options.output, new Date()),
      makeTemporaryReportDirectory,
    ]) {
      let directory: string;
      try {
        directory = makeDirectory();
      } catch (error) {
        say(`No directory can be made for the report: ${reasonOf(error)}`);
        continue;
      }
      const report = await session.report(outcome, directory, undefined, outOfMemory);
      this.last = report;
      const page = tellReport(report);
      if (page !== null) {
        return page;
      }
      removeIfEmpty(directory);
    }
    const { bundle } = await session.report(outcome, null, undefined, outOfMemory);
    say(`The report could not be written anywhere. In short:\n${String(bundle['text/plain'])}`);
    return null;
  }
}
