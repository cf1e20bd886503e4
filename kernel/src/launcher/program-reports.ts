/** The reports of a program that is profiled from its beginning to its end. */
import type { Segment } from '../addon.js';
import type { Session } from '../session.js';
import { type BrowserChoice, openInBrowser, wantsBrowser } from './browser.js';
import { type Ending, outcomeOf } from './ending.js';
import { makeReportDirectory, makeTemporaryReportDirectory } from './report-directory.js';
import { say, sayFailure } from './say.js';

export interface ProgramOptions {
  readonly child: number;
  readonly segment: Segment;
  readonly python: string;
  readonly command: readonly string[];
  readonly output: string;
  readonly browser: BrowserChoice;
}

export class ProgramReports {
  readonly #options: ProgramOptions;
  readonly #session: Session;

  private constructor(options: ProgramOptions, session: Session) {
    this.#options = options;
    this.#session = session;
  }

  /** To be called before the program starts. */
  static async begin(options: ProgramOptions): Promise<ProgramReports> {
    const [{ Session }, { VERSION }] = await Promise.all([import('../session.js'), import('../version.js')]);
    const { segment, child, command, output, browser } = options;
    const session = new Session({ segment, pid: child, version: VERSION });
    session.begin({
      type: 'begin',
      id: 0,
      subject: { kind: 'program', command: [...command] },
      title: null,
      cells: [],
      parentHeader: null,
      outputDirectory: null,
      live: false,
    });
    const shown = wantsBrowser(browser) ? ', and opened in a browser' : '';
    say(
      `When the program ends, a report of its memory is written into ${output}${shown}.\n` +
        `For a report while it runs: kill -USR2 ${process.pid}`,
    );
    return new ProgramReports(options, session);
  }

  /** The report at the program's end. A program that never began has none: Python has said why. */
  async writeLast(ending: Ending): Promise<void> {
    const { segment, python, browser } = this.#options;
    if (!segment.counters().programBegan) {
      return;
    }
    const page = await this.#write(outcomeOf(ending));
    if (page !== null && wantsBrowser(browser)) {
      openInBrowser(python, page);
    }
  }

  /** A report while the program goes on. */
  async writeNow(): Promise<void> {
    try {
      await this.#write({ kind: 'completed' });
    } catch (error) {
      sayFailure('The report could not be made', error);
    }
  }

  /** @returns the page's path; null if there is none. */
  async #write(outcome: Parameters<Session['report']>[0]): Promise<string | null> {
    const { output } = this.#options;
    const { path, problem } = this.#directory();
    const report = await this.#session.report(outcome, path);
    const failure = problem ?? report.filesProblem;
    if (report.filesProblem !== null && problem === null) {
      // A full disk, most likely. The run must not be lost for that.
      const elsewhere = await this.#session.report(outcome, makeTemporaryReportDirectory());
      return this.#tell(elsewhere.files, report.filesProblem);
    }
    return this.#tell(report.files, failure === null ? null : `${output}: ${failure}`);
  }

  #directory(): { readonly path: string; readonly problem: string | null } {
    try {
      return { path: makeReportDirectory(this.#options.output, new Date()), problem: null };
    } catch (error) {
      return { path: makeTemporaryReportDirectory(), problem: String(error) };
    }
  }

  #tell(files: readonly string[], problem: string | null): string | null {
    const page = files.find((file) => file.endsWith('.html')) ?? null;
    if (problem !== null) {
      say(problem);
    }
    if (page !== null) {
      say(`Wrote the report: ${page}`);
    }
    return page;
  }
}
