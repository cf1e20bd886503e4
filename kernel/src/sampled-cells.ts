/**
 * Cells that nobody profiles, sampled: their figures are told when they end, and their reports are made when somebody wants to see them.
 * The process says nothing when such a cell begins, so that it costs it nothing: that one runs is seen in the segment.
 */
import type { CellSource, ControlRequest, EndedCell } from '../../schema/control.js';
import type { Report, ReportOutcome, ReportSubject } from '../../schema/report.js';
import { SAMPLED_CELL_VERSION, type SampledCell, type SampledNews } from '../../schema/sampled-cell.js';
import type { Segment, Snapshot } from './addon.js';
import { reasonOf } from './failure.js';
import { perform, type ReportJob } from './report-job.js';
import type { ReportContext } from './report/build.js';
import { ResidentMemory } from './resident.js';
import { Timeline } from './timeline.js';

type SampledRequest = Extract<ControlRequest, { type: 'sampled' }>;
type Header = EndedCell['parentHeader'];

/** What makes reports of this process, whichever profile they are of. */
export interface ReportContexts {
  readonly cells: Map<string, CellSource>;
  contextOf(facts: ReportFacts, snapshot: Snapshot): ReportContext;
}

/** What differs between reports of a process. */
export interface ReportFacts {
  readonly subject: ReportSubject;
  readonly title: string | null;
  readonly outcome: ReportOutcome;
  readonly startedAt: Date;
  readonly timeline: Report['timeline'];
  readonly residentBeforeBytes: number | null;
  readonly resident: Report['resident'];
}

export interface SampledCellsOptions {
  readonly segment: Pick<Segment, 'counters' | 'snapshot'>;
  readonly pid: number;
  /** Tells front ends something, about the cell of a request. */
  readonly tell: (news: SampledNews, parentHeader: Header) => void;
}

/** The cell that was running when the process died, as far as its front end told. */
export interface LastCell {
  readonly header: Header;
  readonly cellId: string | null;
  readonly executionCount: number | null;
  readonly code: string | null;
}

/** A session of the tracker that is watched while it runs. */
interface Watched {
  readonly session: number;
  readonly timeline: Timeline;
  readonly resident: ResidentMemory;
  /** When watching began, by the clock of the snapshot. */
  readonly atSeconds: number;
}

/** A run whose report can be had. */
interface Held {
  readonly told: SampledCell;
  readonly job: ReportJob | null;
  readonly header: Header;
  readonly weightBytes: number;
}

/** Samples are few, and so are their call sites: about as much as notebooks of hundreds of cells need. */
const MOST_HELD_BYTES = 6 * 2 ** 20;
/** All columns of a row of the snapshot. */
const BYTES_FOR_EACH_SITE = 80;
/** Of runs without a report, too. */
const BYTES_FOR_EACH_RUN = 2000;
/** Each look reads /proc and interrupts our own idling: a fifth as often as for who has asked. */
const WATCH_INTERVAL_MS = 25;
/** How long the last reports of a kernel may take to be made. */
const FAREWELL_MS = 400;

export class SampledCells {
  readonly #options: SampledCellsOptions;
  /** By serial, oldest first. */
  readonly #held = new Map<number, Held>();
  #heldBytes = 0;
  #serial = 0;
  #watched: Watched | null = null;

  constructor(options: SampledCellsOptions) {
    this.#options = options;
  }

  /**
   * Something happens in the process: from now on a sampled session is watched, if one runs.
   *
   * @param isExact whether a profile runs that was asked for.
   */
  follow(isExact: boolean): void {
    const { segment, pid } = this.#options;
    const { state, session } = segment.counters();
    const runs = state === 'tracking' && !isExact;
    if (this.#watched !== null && (!runs || this.#watched.session !== session)) {
      this.#watched.timeline.stop();
    }
    if (runs && this.#watched?.session !== session) {
      const resident = new ResidentMemory(pid);
      const timeline = new Timeline(() => {
        resident.sample();
        return segment.counters();
      }, WATCH_INTERVAL_MS);
      this.#watched = { session, timeline, resident, atSeconds: monotonicSeconds() };
    }
  }

  /** Cells have ended: reads the figures of the last, before the process writes those of the next over them, and tells them all. */
  ended({ ended, cells }: SampledRequest, contexts: ReportContexts): void {
    for (const cell of cells) {
      contexts.cells.set(cell.filename, cell);
    }
    for (const { subject, parentHeader, outcome, seconds, session } of ended) {
      const job = session === null ? null : this.#jobOf(session, subject, { kind: outcome }, contexts);
      // Of figures that could not be read in time nothing is said, rather than something wrong.
      if (session === null || job !== null) {
        this.#tell(subject, job, seconds, parentHeader);
      }
    }
  }

  /**
   * The process died. If a sampled cell was running, what it held is told with its report.
   *
   * @param running the cell that was.
   */
  async died(outcome: ReportOutcome, running: LastCell, contexts: ReportContexts): Promise<void> {
    const { state, session } = this.#options.segment.counters();
    if (state !== 'tracking') {
      return;
    }
    const { cellId, executionCount, header } = running;
    const subject = { kind: 'cell', cellId, executionCount } as const;
    const job = this.#jobOf(session, subject, outcome, contexts, running);
    if (job !== null) {
      await this.show(this.#tell(subject, job, job.context.durationSeconds, header));
    }
  }

  /** Tells all runs that are held once more, to a front end that has just come. */
  repeat(): void {
    for (const { told, header } of this.#held.values()) {
      this.#options.tell({ ...told, isRepeated: true }, header);
    }
  }

  /** A page has left: asks who is there. The process counts the answers. */
  callRoll(): void {
    this.#options.tell({ kind: 'roll-call', version: SAMPLED_CELL_VERSION }, null);
  }

  /** Tells the report of a run. */
  async show(serial: number): Promise<void> {
    const { tell } = this.#options;
    const held = this.#held.get(serial);
    let bundle = null;
    try {
      bundle = held?.job ? (await perform(held.job)).bundle : null;
    } catch (error) {
      process.stderr.write(`Fil: There is no report of a sampled cell: ${reasonOf(error)}\n`);
    }
    tell({ kind: 'report', version: SAMPLED_CELL_VERSION, serial, bundle }, held?.header ?? null);
  }

  /** The kernel ends: tells what reports can be made in short time, the latest first, as nobody can ask for them later. */
  async farewell(): Promise<void> {
    this.#watched?.timeline.stop();
    const end = performance.now() + FAREWELL_MS;
    for (const [serial, { job }] of [...this.#held].reverse()) {
      if (performance.now() > end) {
        return;
      }
      if (job !== null) {
        await this.show(serial);
      }
    }
  }

  /** Null if the session's figures are gone, or can't be read. */
  #jobOf(
    session: number,
    subject: ReportSubject,
    outcome: ReportOutcome,
    contexts: ReportContexts,
    running?: LastCell,
  ): ReportJob | null {
    let snapshot: Snapshot;
    try {
      snapshot = this.#options.segment.snapshot();
    } catch (error) {
      process.stderr.write(`Fil: The figures of a sampled cell can't be read: ${reasonOf(error)}\n`);
      return null;
    }
    if (snapshot.session !== session || snapshot.sampling === null || !snapshot.consistent) {
      return null;
    }
    const filename = running === undefined ? undefined : outermostFile(snapshot);
    const source = running?.code ?? null;
    if (filename !== undefined && source !== null && !contexts.cells.has(filename)) {
      contexts.cells.set(filename, {
        filename,
        executionCount: Math.max(0, running?.executionCount ?? 0),
        source,
      });
    }
    const watched = this.#watched?.session === session ? this.#watched : null;
    watched?.timeline.stop();
    const startedAt = new Date(Date.now() - 1000 * Math.max(0, monotonicSeconds() - snapshot.beganAtSeconds));
    const context = contexts.contextOf(
      {
        subject,
        title: null,
        outcome,
        startedAt,
        timeline: timelineOf(watched, snapshot.beganAtSeconds),
        // It was running already when watching began.
        residentBeforeBytes: null,
        resident: watched?.resident.soFar(snapshot.ownBytes) ?? null,
      },
      snapshot,
    );
    return { snapshot, parts: [], context, outputDirectory: null };
  }

  #tell(subject: ReportSubject, read: ReportJob | null, seconds: number, header: Header): number {
    const figures = figuresOf(read?.snapshot ?? null);
    const job = figures.peakBytes === 0 ? null : read;
    const cell = subject.kind === 'cell' ? subject : { cellId: null, executionCount: null };
    const told: SampledCell = {
      kind: 'cell',
      version: SAMPLED_CELL_VERSION,
      serial: ++this.#serial,
      cellId: cell.cellId ?? '',
      executionCount: cell.executionCount,
      isRepeated: false,
      ...figures,
      durationSeconds: seconds,
      hasReport: job !== null,
    };
    this.#hold({ told, job, header, weightBytes: weightOf(job) });
    this.#options.tell(told, header);
    return told.serial;
  }

  #hold(held: Held): void {
    for (const [serial, { told }] of this.#held) {
      if (told.cellId === held.told.cellId) {
        this.#drop(serial);
        break;
      }
    }
    this.#held.set(held.told.serial, held);
    this.#heldBytes += held.weightBytes;
    for (const [serial] of this.#held) {
      if (this.#heldBytes <= MOST_HELD_BYTES || serial === held.told.serial) {
        return;
      }
      this.#drop(serial);
    }
  }

  #drop(serial: number): void {
    this.#heldBytes -= this.#held.get(serial)?.weightBytes ?? 0;
    this.#held.delete(serial);
  }
}

/** What stands in the kernel's settings if nothing was seen. */
const NOTHING_SEEN = { meanBytes: 32 * 1024, exactFromBytes: 32 * 1024 } as const;

function figuresOf(
  snapshot: Snapshot | null,
): Pick<
  SampledCell,
  'peakBytes' | 'peakSampledBytes' | 'keptBytes' | 'keptSampledBytes' | 'meanBytes' | 'exactFromBytes'
> {
  const sampling = snapshot?.sampling ?? null;
  if (snapshot === null || sampling === null) {
    return { peakBytes: 0, peakSampledBytes: 0, keptBytes: 0, keptSampledBytes: 0, ...NOTHING_SEEN };
  }
  const peakBytes = sumOf(snapshot.peakSiteBytes);
  const currentBytes = sumOf(snapshot.currentSiteBytes);
  const keptBytes = Math.min(peakBytes, currentBytes);
  const { meanBytes, exactFromBytes, currentExactBytes } = sampling;
  return {
    peakBytes,
    peakSampledBytes: Math.min(peakBytes, sumOf(sampling.peakSiteBytes)),
    keptBytes,
    keptSampledBytes: Math.min(keptBytes, Math.max(0, currentBytes - currentExactBytes)),
    meanBytes,
    exactFromBytes,
  };
}

function sumOf(bytes: Float64Array): number {
  return bytes.reduce((sum, value) => sum + Math.max(0, value), 0);
}

function weightOf(job: ReportJob | null): number {
  if (job === null) {
    return BYTES_FOR_EACH_RUN;
  }
  const { siteCount, codes } = job.snapshot;
  const texts = [...codes.filename, ...codes.qualifiedName].reduce((sum, text) => sum + text.length, 0);
  return BYTES_FOR_EACH_RUN + BYTES_FOR_EACH_SITE * siteCount + 2 * texts;
}

/** Times since the session began; watching began a moment later. */
function timelineOf(watched: Watched | null, beganAtSeconds: number): Report['timeline'] {
  if (watched === null) {
    return { seconds: [], bytes: [] };
  }
  const { seconds, bytes } = watched.timeline.points();
  const later = Math.max(0, watched.atSeconds - beganAtSeconds);
  return { seconds: seconds.map((second) => Math.round(1000 * (second + later)) / 1000), bytes };
}

/** The clock of the tracker: CLOCK_MONOTONIC. */
function monotonicSeconds(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

/** The file of the code at the top of all call stacks: the running cell's, whose name the process alone gives. */
function outermostFile({ parent, code, codes }: Snapshot): string | undefined {
  const site = parent.findIndex(
    (above, row) => row > 0 && above === 0 && codes.qualifiedName[code[row] ?? -1] === '<module>',
  );
  return site < 0 ? undefined : codes.filename[code[site] ?? -1];
}
