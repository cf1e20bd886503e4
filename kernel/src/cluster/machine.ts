/** The workers of one machine while they are profiled: they join a process tree that has no process at its top. */
import { hostname } from 'node:os';
import type { Report } from '../../../schema/report.js';
import type { Addon, Snapshot } from '../addon.js';
import { StartFailure } from '../failure.js';
import { memoryLimit } from '../memory-limit.js';
import { topLinesText } from '../output/text.js';
import { type MemberSnapshot, ProcessTree } from '../process-tree.js';
import { ReportSource } from '../report/build.js';
import { processName } from '../report/processes.js';
import { FOR_A_MESSAGE, FOR_PAGES, type Limits } from '../report/prune.js';
import { SourceLines } from '../report/source-lines.js';
import { Timeline } from '../timeline.js';
import { VERSION } from '../version.js';
import { byTask } from './by-task.js';
import { MACHINE_REPORT_FORMAT, type MachineProcess, type MachineReport } from './machine-report.js';

/** A worker, as it says who it is. */
export interface Worker {
  readonly pid: number;
  readonly name: string;
  /** What it may hold; null for no limit. */
  readonly limitBytes: number | null;
  /** To be added to the machine's clock, for the one that all machines know. */
  readonly clockOffsetSeconds: number;
  readonly workingDirectory: string;
}

/** Subprocesses that held less are not told of. */
const SMALL_BYTES = 2 ** 20;
const MOST_DEATH_LINES = 3;

export class Machine {
  readonly #tree: ProcessTree;
  readonly #timeline: Timeline;
  readonly #workers = new Map<number, Worker>();
  readonly #sources = new Map<string, SourceLines>();
  readonly #startedAt = new Date();
  readonly #startedSeconds = monotonicSeconds();

  /** @throws {StartFailure} if there is no room for the processes' figures. */
  constructor(addon: Addon) {
    const tree = ProcessTree.make(addon, true);
    if (tree === null) {
      throw new StartFailure('There is no room for the figures of its processes: neither in /dev/shm nor in /tmp.');
    }
    this.#tree = tree;
    tree.beginAlone();
    this.#timeline = new Timeline(() => ({
      state: 'tracking',
      ...tree.heldNow({ session: tree.session, currentBytes: 0, sharedBytes: 0 }),
    }));
  }

  /** By which processes join; no other machine has the same. */
  get directory(): string {
    return this.#tree.directory;
  }

  /** A worker is about to join. @returns the directory that it joins by. */
  expect(worker: Worker): string {
    this.#workers.set(worker.pid, worker);
    return this.#tree.directory;
  }

  /** Ends the profile. @returns what was found. */
  finish(): MachineReport {
    this.#tree.endAlone();
    const durationSeconds = monotonicSeconds() - this.#startedSeconds;
    const timeline = this.#timeline.stop();
    const parts = this.#timeline.parts();
    const members = this.#tree.members();
    const { peakBytes, boundBytes } = this.#tree.jointPeak(members);
    return {
      format: MACHINE_REPORT_FORMAT,
      filprofiler: VERSION,
      host: hostname(),
      startedAt: this.#startedAt.toISOString(),
      clockOffsetSeconds: [...this.#workers.values()][0]?.clockOffsetSeconds ?? 0,
      durationSeconds,
      peakBytes,
      boundBytes,
      timeline,
      processes: members
        .filter(({ info }) => this.#workers.has(info.pid) || info.peakBytes >= SMALL_BYTES)
        .map((member) => this.#processOf(member, [...(parts.get(member.number) ?? [])], durationSeconds)),
      refused: this.#tree.refused,
    };
  }

  /** Leaves nothing behind. */
  close(): void {
    this.#timeline.stop();
    this.#tree.close();
  }

  #processOf(member: MemberSnapshot, timeline: number[], durationSeconds: number): MachineProcess {
    const { info, wasKilled } = member;
    const worker = this.#workers.get(info.pid);
    const command = info.command
      .toString('utf8')
      .split('\0')
      .filter((word) => word !== '');
    const endedSeconds = info.leftAtSeconds === null ? null : this.#since(info.leftAtSeconds, durationSeconds);
    return {
      name: worker?.name ?? processName(command, info.isForked),
      pid: info.pid,
      parentPid: info.parentPid,
      command: command.join(' '),
      isWorker: worker !== undefined,
      origin: info.isForked ? 'forked' : 'executed',
      hasStacks: info.hasStacks,
      beganSeconds: this.#since(info.joinedAtSeconds, durationSeconds),
      endedSeconds,
      death: wasKilled && worker !== undefined ? this.#death(member, worker) : null,
      timeline,
      report: this.#reportOf(member, worker, FOR_PAGES),
    };
  }

  /** What it held when it died. */
  #death(member: MemberSnapshot, worker: Worker): MachineProcess['death'] {
    const { snapshot } = member;
    const atDeath = { ...member, snapshot: { ...snapshot, peakSiteBytes: snapshot.currentSiteBytes } };
    const report = this.#reportOf(atDeath, worker, FOR_A_MESSAGE);
    const first = report.tree.parent.findIndex((parent, node) => {
      const frame = report.tree.frame[node] ?? 0;
      return parent === 0 && report.frames.kind[frame] === 'task';
    });
    return {
      heldBytes: report.peakBytes,
      limitBytes: worker.limitBytes,
      // Siblings are ordered: the first holds most.
      task: first < 0 ? '' : (report.frames.function[report.tree.frame[first] ?? 0] ?? ''),
      lines: topLinesText(report, MOST_DEATH_LINES).map((line) => line.trim()),
    };
  }

  #reportOf({ info, snapshot, wasKilled }: MemberSnapshot, worker: Worker | undefined, limits: Limits): Report {
    const hasEnded = info.leftAtSeconds !== null;
    const columns: Snapshot = hasEnded
      ? { ...snapshot, currentSiteBytes: new Float64Array(snapshot.currentSiteBytes.length) }
      : snapshot;
    return ReportSource.ofSnapshot(worker === undefined ? columns : byTask(columns), {
      subject: { kind: 'call', name: worker?.name ?? 'process' },
      title: null,
      outcome: wasKilled ? { kind: 'died', exitCode: null, signal: null } : { kind: 'completed' },
      cells: new Map(),
      workingDirectory: worker?.workingDirectory ?? '/',
      residentBeforeBytes: null,
      resident: null,
      memoryLimit: memoryLimit(),
      observed: undefined,
      outOfMemory: undefined,
      startedAt: this.#startedAt,
      durationSeconds: Math.max(0, snapshot.endedAtSeconds - snapshot.beganAtSeconds),
      timeline: { seconds: [], bytes: [] },
      producer: { name: 'filprofiler', version: VERSION, python: snapshot.pythonVersion },
      sources: this.#sourcesOf(worker?.workingDirectory ?? '/'),
    }).report(limits);
  }

  /** Workers run the same code: each file is read once. */
  #sourcesOf(workingDirectory: string): SourceLines {
    const known = this.#sources.get(workingDirectory) ?? new SourceLines(workingDirectory);
    this.#sources.set(workingDirectory, known);
    return known;
  }

  #since(seconds: number, durationSeconds: number): number {
    return Math.min(durationSeconds, Math.max(0, seconds - this.#startedSeconds));
  }
}

/** The clock of the addon's figures. */
function monotonicSeconds(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}
