/**
 * One profiled process: begins and ends its profiles and makes their reports, while it runs or after it died. Both front doors, the
 * kernel and the command line, own one.
 */
import type { CellSource, ControlReply, ControlRequest } from '../../schema/control.js';
import { CONTROL_VERSION } from '../../schema/control.js';
import { LIVE_VERSION, type LiveProfile } from '../../schema/live.js';
import type { Observed } from '../../schema/observed.js';
import type { OutOfMemoryCause } from '../../schema/out-of-memory.js';
import type { Report, ReportOutcome } from '../../schema/report.js';
import { SMALLEST_LINE_SHARE } from '../../schema/summary.js';
import type { Segment, Snapshot } from './addon.js';
import type { KeptState } from './kept-state.js';
import { memoryLimit } from './memory-limit.js';
import type { MemoryMatters } from './memory-matters.js';
import { perform, type ReportJob, type ReportOutput } from './report-job.js';
import { displayableSubject, displayableTitle, type ReportContext, ReportSource } from './report/build.js';
import { LiveLines } from './report/live-lines.js';
import { topLinesText } from './output/text.js';
import { FOR_A_MESSAGE } from './report/prune.js';
import { atMoment } from './report/moment.js';
import { ResidentMemory } from './resident.js';
import type { ReportContexts, ReportFacts, SampledCells } from './sampled-cells.js';
import { lineRecords, saveReport, unpackReport } from './stored-report.js';
import { Timeline } from './timeline.js';
import type { ProcessTree } from './process-tree.js';

type Begin = Extract<ControlRequest, { type: 'begin' }>;
type Hello = Extract<ControlRequest, { type: 'hello' }>;

/** They stand in an exception's message. */
const MOST_SHORTAGE_LINES = 3;

interface Profile {
  readonly request: Begin;
  readonly startedAt: Date;
  readonly resident: ResidentMemory;
  readonly timeline: Timeline;
  readonly liveLines: LiveLines;
}

/** A running profile's figures; when the next are due, only who shows them knows. */
export type Progress = Omit<LiveProfile, 'nextSeconds' | 'phase'>;

const LIVE_LINES = 5;
const LIVE_POINTS = 100;

export interface SessionOptions {
  readonly segment: Pick<Segment, 'counters' | 'snapshot' | 'codes' | 'peakLines'>;
  /** Pid of the process, for its resident memory. */
  readonly pid: number;
  /** Version of filprofiler, for its reports. */
  readonly version: string;
  /** What is known about memory that ran out. */
  readonly memory?: Pick<MemoryMatters, 'begin' | 'causeOfError' | 'end' | 'shortage'>;
  /** The processes that it starts; null if they are not tracked. */
  readonly tree?: Pick<ProcessTree, 'begin' | 'exact' | 'heldNow' | 'jointPeakBytes' | 'snapshot'> | null;
  /** Whether joint peaks are exact where a profile does not say. */
  readonly exactTree?: boolean;
  /** From which a report can be made without us; null if nothing is kept. */
  readonly state?: Pick<KeptState, 'begin' | 'end'> | null;
  /** Takes what is said about sampled cells. */
  readonly sampled?: Pick<SampledCells, 'ended'>;
}

export class Session implements ReportContexts {
  readonly #options: SessionOptions;
  /** The notebook's cells by the file names of their code. */
  readonly cells = new Map<string, CellSource>();
  #hello: Hello | null = null;
  #profile: Profile | null = null;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** The request that began the running profile; null if none runs. */
  get running(): Begin | null {
    return this.#profile?.request ?? null;
  }

  /** Answers a request of the process. */
  async handle(request: ControlRequest): Promise<ControlReply> {
    switch (request.type) {
      case 'hello':
        return this.hello(request);
      case 'begin':
        return this.begin(request);
      case 'shortage':
        return this.shortage(request.id);
      case 'cancel':
        this.giveUp();
        return { type: 'ok', id: request.id };
      case 'lines':
        return { type: 'lines', id: request.id, lines: lineRecords(unpackReport(request.report)) };
      case 'save':
        return { type: 'saved', id: request.id, files: saveReport(unpackReport(request.report), request.path) };
      case 'sampled':
        this.#options.sampled?.ended(request, this);
        return { type: 'ok', id: request.id };
      case 'end':
        return replyOf(
          request.id,
          await this.end({ kind: request.outcome }, request.observed, this.#options.memory?.causeOfError(request)),
        );
    }
  }

  /** The process says who it is. */
  hello(request: Hello): ControlReply {
    if (request.version !== CONTROL_VERSION) {
      return refused(
        request.id,
        `This kernel runs an older Fil (protocol ${CONTROL_VERSION}) than its Python package (protocol ${request.version}). Restart the kernel.`,
      );
    }
    this.#hello = request;
    return { type: 'ok', id: request.id };
  }

  /** A profile begins; the process turns its tracker on afterwards. */
  begin(request: Begin): ControlReply {
    // The process runs one at a time, so an earlier one was given up: the user interrupted it before it could be ended.
    this.giveUp();
    for (const cell of request.cells) {
      this.cells.set(cell.filename, cell);
    }
    const { segment, pid, memory } = this.#options;
    memory?.begin(request);
    const tree = this.#treeOf(request);
    if (tree !== null) {
      tree.exact = request.exactTree ?? this.#options.exactTree ?? false;
      tree.begin();
    }
    const resident = new ResidentMemory(pid);
    const startedAt = new Date();
    const timeline = new Timeline(() => {
      resident.sample();
      const counters = segment.counters();
      return tree === null ? counters : { ...counters, ...tree.heldNow(counters) };
    });
    const liveLines = new LiveLines(segment, this.cells, this.#workingDirectory);
    this.#profile = { request, startedAt, resident, timeline, liveLines };
    this.#options.state?.begin(
      {
        subject: request.subject,
        title: request.title,
        cells: [...this.cells.values()],
        workingDirectory: this.#workingDirectory,
        pythonVersion: this.#hello?.pythonVersion ?? '',
        residentBeforeBytes: resident.beforeBytes,
        memoryLimit: memoryLimit(),
        startedAt: startedAt.toISOString(),
      },
      () => ({ resident: resident.soFar(), timeline: timeline.points() }),
    );
    return { type: 'ok', id: request.id };
  }

  /**
   * What the running profile has reached; null if none is, or its process has not yet turned its tracker on or already off. Next to
   * nothing happens to the process, and some milliseconds pass here if it has 10^6 call sites.
   *
   * @throws {Error} if the segment is corrupt.
   */
  progress(): Progress | null {
    const profile = this.#profile;
    const { state, currentBytes, peakBytes } = this.#options.segment.counters();
    if (profile === null || state !== 'tracking') {
      return null;
    }
    return {
      version: LIVE_VERSION,
      title: displayableTitle(profile.request.title),
      subject: displayableSubject(profile.request.subject),
      elapsedSeconds: Math.max(0, (Date.now() - profile.startedAt.getTime()) / 1000),
      currentBytes: Math.max(0, currentBytes),
      peakBytes: Math.max(0, peakBytes),
      lines: profile.liveLines.top(LIVE_LINES).filter(({ bytes }) => bytes >= SMALLEST_LINE_SHARE * peakBytes),
      timeline: profile.timeline.points(LIVE_POINTS),
    };
  }

  /** What to say to the cell that is about to be interrupted for want of memory. */
  shortage(id: number): ControlReply {
    const { memory, segment } = this.#options;
    const reason = memory?.shortage ?? '';
    const profile = this.#profile;
    if (profile === null) {
      return { type: 'shortage', id, reason, topLines: [] };
    }
    const snapshot = segment.snapshot();
    const context = this.#contextOf(profile, snapshot, { kind: 'error' }, { seconds: [], bytes: [] });
    // Few nodes: this process takes its memory from the same container.
    const report = ReportSource.ofSnapshot({ ...snapshot, peakSiteBytes: snapshot.currentSiteBytes }, context).report(
      FOR_A_MESSAGE,
    );
    return { type: 'shortage', id, reason, topLines: topLinesText(report, MOST_SHORTAGE_LINES) };
  }

  /** Forgets the running profile, if there is one. */
  giveUp(): void {
    if (this.#profile !== null) {
      this.#options.memory?.end();
    }
    this.#profile?.timeline.stop();
    this.#profile = null;
    this.#options.state?.end();
  }

  /**
   * The profile ended, or its process died. Until the report is made it counts as running, so that it can be made again if the process
   * dies meanwhile. Its files go to the directory that it was begun with.
   *
   * @param observed what the process told at the end.
   * @param outOfMemory why memory ran out; undefined if it did not.
   * @throws {Error} if none was running, or the segment can't be read.
   */
  async end(outcome: ReportOutcome, observed?: Observed, outOfMemory?: OutOfMemoryCause): Promise<ReportOutput> {
    const profile = this.#profile;
    try {
      profile?.timeline.stop();
      return await this.report(outcome, profile?.request.outputDirectory ?? null, observed, outOfMemory);
    } finally {
      this.#options.memory?.end();
      this.#profile = null;
      this.#options.state?.end();
    }
  }

  /**
   * The report of the running profile up to now; it goes on.
   *
   * @param outputDirectory an existing directory for the report's files, absolute; null for none.
   * @param observed what the process told.
   * @param outOfMemory why memory ran out: then the report is of that moment.
   * @throws {Error} if none is running, or the segment can't be read.
   */
  report(
    outcome: ReportOutcome,
    outputDirectory: string | null,
    observed?: Observed,
    outOfMemory?: OutOfMemoryCause,
  ): Promise<ReportOutput> {
    const profile = this.#profile;
    if (profile === null) {
      throw new Error('No profile is running, so there is no report of it.');
    }
    return perform(this.#jobOf(profile, outcome, outputDirectory, observed, outOfMemory));
  }

  #jobOf(
    profile: Profile,
    outcome: ReportOutcome,
    outputDirectory: string | null,
    observed?: Observed,
    outOfMemory?: OutOfMemoryCause,
  ): ReportJob {
    // Of the moment when memory ran out only the one process is known.
    const tree = outOfMemory === undefined ? this.#treeOf(profile.request) : null;
    const top = this.#options.segment.snapshot(tree?.jointPeakBytes);
    const joined = tree?.snapshot(top, commandOf(profile.request), profile.timeline.parts());
    const snapshot = atMoment(top, outOfMemory);
    return {
      snapshot,
      parts: joined?.parts ?? [],
      context: {
        ...this.#contextOf(profile, snapshot, outcome, profile.timeline.points()),
        observed,
        outOfMemory,
        processes: joined?.processes,
      },
      outputDirectory,
    };
  }

  #treeOf({ children }: Begin): NonNullable<SessionOptions['tree']> | null {
    return children === false ? null : (this.#options.tree ?? null);
  }

  get #workingDirectory(): string {
    return this.#hello?.workingDirectory ?? process.cwd();
  }

  #contextOf(
    { request, startedAt, resident }: Profile,
    snapshot: Snapshot,
    outcome: ReportOutcome,
    timeline: Report['timeline'],
  ): ReportContext {
    return this.contextOf(
      {
        subject: request.subject,
        title: request.title,
        outcome,
        startedAt,
        timeline,
        residentBeforeBytes: resident.beforeBytes,
        resident: resident.soFar(snapshot.ownBytes),
      },
      snapshot,
    );
  }

  /** What a report of this process says besides the figures. */
  contextOf(facts: ReportFacts, snapshot: Snapshot): ReportContext {
    return {
      ...facts,
      cells: this.cells,
      workingDirectory: this.#workingDirectory,
      memoryLimit: memoryLimit(),
      observed: undefined,
      outOfMemory: undefined,
      durationSeconds: Math.max(0, snapshot.endedAtSeconds - snapshot.beganAtSeconds),
      producer: {
        name: 'filprofiler',
        version: this.#options.version,
        python: snapshot.pythonVersion || (this.#hello?.pythonVersion ?? ''),
      },
    };
  }
}

/** What the process at the top was started as. */
function commandOf({ subject }: Begin): readonly string[] {
  return subject.kind === 'program' ? subject.command : ['python', 'notebook'];
}

function replyOf(id: number, { bundle, files, filesProblem }: ReportOutput): ControlReply {
  return { type: 'report', id, bundle, files, filesProblem };
}

function refused(id: number, reason: string): ControlReply {
  return { type: 'refused', id, reason };
}
