/**
 * The command line's side process: waits for a program that `filprofiler._launch` has forked off, passes signals on to it, writes the
 * report when it has ended, and ends as it ended.
 */
import { closeSync, writeSync } from 'node:fs';
import type { OutOfMemoryCause } from '../../../schema/out-of-memory.js';
import { loadAddon, preloadableTracker } from '../addon.js';
import { StartFailure } from '../failure.js';
import { KeptState } from '../kept-state.js';
import type { MemorySettings } from '../memory-matters.js';
import { ProcessTree, type TreeSettings } from '../process-tree.js';
import { onSignal } from '../proxy/signals.js';
import { type BrowserChoice } from './browser.js';
import { type PeakSummary, statusForBudget } from './budget.js';
import { type Ending, endLike } from './ending.js';
import { ProgramMemory } from './memory.js';
import { ProgramReports } from './program-reports.js';
import { RequestedReports } from './requested-reports.js';
import { say, sayFailure } from './say.js';

export interface LaunchOptions {
  /** Pid of the program's process. It waits until it is told on `ready` what to become. */
  readonly child: number;
  /** Descriptor of an empty memfd that the process shares. */
  readonly segment: number;
  readonly ready: number;
  readonly python: string;
  /** The program's command line, to be shown. */
  readonly command: readonly string[];
  /** The whole program is profiled, and not only what it asks for. */
  readonly trackProgram: boolean;
  /** Directory below which reports are written. */
  readonly output: string;
  readonly browser: BrowserChoice;
  /** Most that the program may hold, in bytes; null for no limit. */
  readonly maxPeakBytes: number | null;
  readonly memory: MemorySettings;
  readonly tree: TreeSettings;
  /** Directory below which the profile's state is kept while the program runs; null to keep it in memory only. */
  readonly keepState: string | null;
}

/** What the two ways to profile have in common. */
interface Reports {
  /** By which the tracker is told of them. */
  readonly environment: Readonly<Record<string, string>>;
  /** To be called once the program has been let start: it is not to wait for what this loads. */
  begin(): Promise<void>;
  /** What the last report of the whole program says; null before there is one. */
  readonly last?: PeakSummary | null;
  /** Writes a report while the program runs, asked for by a signal; null if signals are not for us. */
  readonly writeNow: (() => void) | null;
  /** Writes a report of the moment when memory ran out in a process that the program has started. */
  readonly writeOutOfMemory?: (outOfMemory: OutOfMemoryCause) => void;
  writeLast(ending: Ending, outOfMemory: OutOfMemoryCause | undefined): Promise<void>;
  close(): void;
}

/** Ends the process itself. */
export async function launch(options: LaunchOptions): Promise<never> {
  const addon = loadAddon();
  const problem = addon.whyNotPreloadedInto(options.python);
  if (problem !== null) {
    // The program's process finds the pipe closed and ends before the program begins.
    throw new StartFailure(problem);
  }
  const state = options.keepState === null ? null : new KeptState(addon, options.keepState, say);
  const segment = state?.segment ?? new addon.Segment(options.segment);
  const tree = options.tree.children ? ProcessTree.make(addon) : null;
  tree?.watch(options.child);
  const watched = { segment, child: options.child, state, tree, exactTree: options.tree.exact };
  const reports: Reports = options.trackProgram
    ? new ProgramReports(addon.environmentNames.trackProgram, { ...options, ...watched })
    : new RequestedReports(addon, watched);
  const ended = new Promise<Ending>((resolve) => {
    addon.superviseChild(options.child, reports.writeNow !== null, (event) => {
      if (event.kind === 'report-asked') {
        reports.writeNow?.();
      } else {
        resolve(event);
      }
    });
  });
  const memory = new ProgramMemory(segment, options.child, options.memory, (cause) =>
    reports.writeOutOfMemory?.(cause),
  );
  // What arrived before was meant for the program too.
  onSignal((signal) => process.kill(options.child, signal));
  letStart(options, {
    preload: preloadableTracker(addon, null),
    segmentDescriptor: addon.environmentNames.segmentDescriptor,
    segmentPath: state?.segmentPath ?? null,
    environment: {
      ...reports.environment,
      ...(tree === null ? {} : { [addon.environmentNames.treeDirectory]: tree.directory }),
      [addon.environmentNames.parentPid]: String(process.pid),
    },
  });
  const begun = reports.begin();
  // Told of below: a failure of ours must not end the program.
  begun.catch(() => undefined);
  const ending = await ended;
  const outOfMemory = await memory.causeOf(ending);
  try {
    await begun;
    await reports.writeLast(ending, outOfMemory);
  } catch (error) {
    sayFailure('The report could not be made', error);
  }
  reports.close();
  tree?.close();
  state?.close();
  if (state?.isNeeded === true) {
    say(`Its state is kept. To try again: fil-profile recover ${state.directory}`);
  }
  const { maxPeakBytes } = options;
  const status =
    memory.statusFor(outOfMemory) ??
    (maxPeakBytes === null
      ? null
      : statusForBudget(reports.last ?? { ...segment.counters(), topLines: [] }, maxPeakBytes, ending));
  if (status !== null) {
    return addon.endWithStatus(status);
  }
  return endLike(ending, addon);
}

/** What the program's process is told; `filprofiler._launch` reads it. */
interface Start {
  readonly preload: string;
  readonly segmentDescriptor: string;
  /** Of a file that it opens in place of the memfd; null for that one. */
  readonly segmentPath: string | null;
  readonly environment: Readonly<Record<string, string>>;
}

function letStart(options: LaunchOptions, start: Start): void {
  try {
    writeSync(options.ready, JSON.stringify(start));
  } catch {
    // It was killed meanwhile; its end is told like any other.
  }
  closeSync(options.ready);
}

/** To be called for whatever `launch` throws. */
export function failToLaunch(error: unknown): never {
  if (error instanceof StartFailure) {
    say(error.message);
  } else {
    sayFailure('Fil failed', error instanceof Error ? (error.stack ?? error) : error);
  }
  process.exit(1);
}
