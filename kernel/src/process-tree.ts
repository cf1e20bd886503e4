/**
 * The processes that the tracked one starts: they join by a directory of ours and write segments there. This is the watching side: it finds
 * them, notices their deaths, and tells what all of them held together.
 */
import { randomBytes } from 'node:crypto';
import { rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Addon, Snapshot, TreeMember } from './addon.js';
import { inheritedCopies, isGone, untrackedBelow } from './process-table.js';
import { describeTree, type SeenMember, SMALL_BYTES, type TreeSnapshot } from './tree-report.js';
import { type SmallProcess, YoungProcesses } from './young-processes.js';

/** A directory in memory, as its files change with every event; the others are for systems without it. */
const PLACES = ['/dev/shm', tmpdir(), '/tmp'];
const RANDOM_BYTES = 8;
/** Separates what stands in LD_PRELOAD's like, and the longest name that the tracker takes. */
const LONGEST_DIRECTORY = 100;
const SEGMENT_PREFIX = 'process.';
const LEAST_FREE_BYTES = 4 * 2 ** 20;

const POLL_MS = 50;
/** While nothing is profiled: of processes that ended then nothing but their segments is left to be done with. */
const IDLE_POLL_MS = 1000;
/** Reading who descends from whom, and how many pages are private, costs more. */
const SURVEY_MS = 500;
/** A segment appears a moment after its number is given out. */
const APPEARS_WITHIN_MS = 2000;

/** A member as it is known here. */
interface Known {
  /** The addon's number; null once its segment was let go. */
  handle: number | null;
  info: TreeMember;
  /** What it held at the joint peak, kept when its segment was let go. */
  kept: { readonly snapshot: Snapshot; readonly jointPeakBytes: number } | null;
  copiedBytes: number | null;
  /** Whether it ended without a word, as by SIGKILL. */
  wasKilled: boolean;
}

/** A member with its columns, also of a process that has ended. */
export interface MemberSnapshot {
  /** For {@link ProcessTree.heldNow}. */
  readonly number: number;
  readonly info: TreeMember;
  readonly wasKilled: boolean;
  readonly snapshot: Snapshot;
}

/** What a process holds, and of that the shared memory that others can have mapped too. */
interface Held {
  readonly session: number;
  readonly currentBytes: number;
  readonly sharedBytes: number;
}

/** What the top process holds, and the others by their numbers. */
export interface HeldNow {
  readonly currentBytes: number;
  readonly others: ReadonlyMap<number, number>;
}

export interface TreeSettings {
  /** Whether processes that the profiled one starts are tracked. */
  readonly children: boolean;
  /** Whether the joint peak is exact to the byte, and not within 128 KiB a process. */
  readonly exact: boolean;
}

type AddonTree = InstanceType<Addon['ProcessTree']>;

export class ProcessTree {
  readonly directory: string;
  readonly #tree: AddonTree;
  #timer: NodeJS.Timeout;
  readonly #waiting = new Map<number, number>();
  readonly #known = new Map<number, Known>();
  readonly #untracked = new Map<number, { command: string; highWaterBytes: number }>();
  readonly #keepsAll: boolean;
  #lastSeen = 0;
  #nextSurvey = 0;
  #begunAt = Number.NEGATIVE_INFINITY;
  #topPid: number | null = null;
  /** Those that are only counted, and were let go: they could be ahead with what they claimed, too. */
  #small: SmallProcess[] = [];
  readonly #young: YoungProcesses;
  #session = 0;

  private constructor(directory: string, tree: AddonTree, keepsAll: boolean) {
    this.directory = directory;
    this.#tree = tree;
    this.#keepsAll = keepsAll;
    this.#young = new YoungProcesses(tree, SMALL_BYTES);
    this.#timer = this.#pollAfter(IDLE_POLL_MS);
  }

  /**
   * Makes the directory; null where there is none to be had: then only the one process is tracked. It is removed however we end.
   *
   * @param keepsAll whether what a process held is kept when it ends, whatever it was at the joint peak: for {@link members}.
   */
  static make(addon: Addon, keepsAll = false): ProcessTree | null {
    for (const place of PLACES) {
      // With our pid, so that whoever finds it can tell whose it is.
      const directory = join(place, `fil-tree-${process.pid}-${randomBytes(RANDOM_BYTES).toString('hex')}`);
      try {
        const { bavail, bsize } = statfsSync(place);
        if (Buffer.byteLength(directory) > LONGEST_DIRECTORY || bavail * bsize < LEAST_FREE_BYTES) {
          continue;
        }
      } catch {
        continue;
      }
      try {
        return new ProcessTree(directory, new addon.ProcessTree(directory, false), keepsAll);
      } catch {
        // Its guardian has removed it.
      }
    }
    return null;
  }

  /** Names the process at the top. */
  watch(topPid: number): void {
    this.#topPid = topPid;
  }

  /** Whether the next profile's joint peak is exact to the byte. */
  set exact(exact: boolean) {
    this.#tree.setExact(exact);
  }

  /** A profile begins: what was found out for the last one is of no concern. Processes that live stay members. */
  begin(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#pollAfter(POLL_MS);
    this.#begunAt = performance.now();
    this.#untracked.clear();
    this.#small = [];
    this.#young.begin();
    for (const [number, known] of this.#known) {
      if (known.info.leftAtSeconds !== null) {
        this.#letGo(number, known);
        this.#known.delete(number);
      } else {
        known.copiedBytes = null;
      }
    }
  }

  /** Begins a profile of members alone, without a process at the top. */
  beginAlone(): void {
    this.begin();
    this.#session = this.#tree.begin();
  }

  /** Ends it: from now on nothing changes. */
  endAlone(): void {
    this.#tree.end();
  }

  /** The members of the profile that {@link beginAlone} began, in the order in which they joined. */
  members(): MemberSnapshot[] {
    this.poll();
    const found: MemberSnapshot[] = [];
    for (const [number, known] of this.#known) {
      this.#refresh(known);
      const snapshot = known.handle === null ? known.kept?.snapshot : this.#tree.snapshot(known.handle);
      if (known.info.session === this.#session && snapshot !== undefined) {
        found.push({ number, info: known.info, wasKilled: known.wasKilled, snapshot });
      }
    }
    return found.sort((a, b) => a.number - b.number);
  }

  /** The number of the profile that is on. */
  get session(): number {
    return this.#session;
  }

  /** How many processes could not join. */
  get refused(): number {
    return this.#tree.joint().refusedMembers;
  }

  /** The peak of all together, and by how much it can be higher than that. */
  jointPeak(members: readonly MemberSnapshot[]): { readonly peakBytes: number; readonly boundBytes: number } {
    const { peakBytes, creditBytes } = this.#tree.joint();
    return { peakBytes: Math.max(0, peakBytes), boundBytes: 2 * creditBytes * Math.max(1, members.length) };
  }

  /** Looks for processes that have come and gone. Never throws. */
  poll(): void {
    try {
      this.#adoptNew();
      this.#reapDead();
      this.#young.poll();
      if (this.#mayBeJoined && performance.now() >= this.#nextSurvey) {
        const began = performance.now();
        this.#survey();
        // At most a fiftieth of the time.
        this.#nextSurvey = performance.now() + Math.max(SURVEY_MS, 50 * (performance.now() - began));
      }
    } catch {
      // Of the directory nothing may be left: somebody has removed it. What is known stays.
    }
  }

  /**
   * What each process holds now, by its number. Shared memory that has a name counts once: for the first of them that has it mapped.
   *
   * @param top what the top process holds; members of its session alone are told.
   */
  heldNow({ session, currentBytes, sharedBytes }: Held): HeldNow {
    this.#session = session;
    let shared = this.#tree.joint().sharedBytes;
    const countOnce = (held: Omit<Held, 'session'>): number => {
      const here = Math.min(held.sharedBytes, shared);
      shared -= here;
      return Math.max(0, held.currentBytes - held.sharedBytes + here);
    };
    const top = countOnce({ currentBytes, sharedBytes });
    const others = new Map<number, number>();
    for (const [number, { handle, info }] of this.#known) {
      const member = handle === null || info.leftAtSeconds !== null ? null : this.#tree.member(handle);
      if (member?.session === session) {
        others.set(number, countOnce(member));
      }
    }
    return { currentBytes: top, others };
  }

  /** The peak of all processes together as it is claimed; the argument for the top process's snapshot. */
  get jointPeakBytes(): number {
    return this.#tree.joint().peakBytes;
  }

  /**
   * What the report needs; null if no other process took part.
   *
   * @param top the top process's columns, with `jointSiteBytes`.
   */
  snapshot(
    top: Snapshot,
    topCommand: readonly string[],
    timelines: ReadonlyMap<number, readonly number[]>,
  ): TreeSnapshot | null {
    this.poll();
    this.#session = top.session;
    const joint = this.#tree.joint();
    const members: SeenMember[] = [];
    for (const [number, known] of this.#known) {
      this.#refresh(known);
      const { handle, info, copiedBytes } = known;
      if (info.session === top.session) {
        const kept = known.kept?.jointPeakBytes === joint.peakBytes ? known.kept.snapshot : null;
        members.push({ number, info, snapshot: handle === null ? kept : this.#tree.snapshot(handle), copiedBytes });
      }
    }
    const small = [...this.#small.filter(({ session }) => session === top.session), ...this.#young.small(top.session)];
    const quiet = this.#young.quiet(top.session, this.#pids());
    const untracked = [...this.#untracked].map(([pid, program]) => ({ pid, ...program }));
    return describeTree(
      { snapshot: top, command: topCommand },
      { members, quiet, small, untracked, refused: joint.refusedMembers, creditBytes: joint.creditBytes },
      timelines,
    );
  }

  /** Ends it: processes that live on go on uncounted, and nothing is left. Never throws. */
  close(): void {
    clearTimeout(this.#timer);
    let removed = true;
    try {
      rmSync(this.directory, { recursive: true, force: true });
    } catch {
      // A process has joined meanwhile: the guardian tries again once we have ended.
      removed = false;
    }
    this.#tree.stop(removed);
  }

  #pollAfter(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.poll();
      this.#timer = this.#pollAfter(this.#mayBeJoined ? POLL_MS : IDLE_POLL_MS);
    }, milliseconds).unref();
  }

  /** From the announcement on: the process turns its tracker on a moment later. */
  get #mayBeJoined(): boolean {
    return this.#tree.joint().isOpen || performance.now() - this.#begunAt < IDLE_POLL_MS;
  }

  #adoptNew(): void {
    const { lastMember } = this.#tree.joint();
    for (; this.#lastSeen < lastMember;) {
      this.#waiting.set(++this.#lastSeen, performance.now());
    }
    for (const [number, since] of this.#waiting) {
      const path = join(this.directory, `${SEGMENT_PREFIX}${number}`);
      try {
        const handle = this.#tree.adopt(path);
        this.#known.set(number, {
          handle,
          info: this.#tree.member(handle),
          kept: null,
          copiedBytes: null,
          wasKilled: false,
        });
        this.#waiting.delete(number);
      } catch {
        if (performance.now() - since > APPEARS_WITHIN_MS) {
          this.#waiting.delete(number);
        }
      }
    }
  }

  #reapDead(): void {
    for (const [number, known] of this.#known) {
      if (known.handle === null) {
        continue;
      }
      this.#refresh(known);
      if (known.info.leftAtSeconds === null) {
        if (!isGone(known.info.pid, known.info.joinedAtSeconds)) {
          continue;
        }
        this.#tree.reap(known.handle);
        known.wasKilled = true;
        this.#refresh(known);
      }
      known.kept =
        this.#keepsAll || this.#tree.heldAtJointPeak(known.handle)
          ? { snapshot: this.#tree.snapshot(known.handle), jointPeakBytes: this.jointPeakBytes }
          : null;
      this.#letGo(number, known);
      if (known.kept === null && known.info.peakBytes < SMALL_BYTES) {
        this.#small.push(known.info);
        this.#known.delete(number);
      }
    }
  }

  #letGo(number: number, known: Known): void {
    if (known.handle !== null) {
      this.#tree.forget(known.handle);
      known.handle = null;
      rmSync(join(this.directory, `${SEGMENT_PREFIX}${number}`), { force: true });
    }
  }

  #refresh(known: Known): void {
    if (known.handle !== null) {
      known.info = this.#tree.member(known.handle);
    }
  }

  /** Of those with a segment. */
  #pids(): ReadonlySet<number> {
    return new Set([...this.#known.values()].map(({ info }) => info.pid));
  }

  #survey(): void {
    if (this.#topPid === null) {
      return;
    }
    const refused = new Set(this.#tree.joint().refusedPids);
    for (const found of untrackedBelow(this.#topPid, this.#pids(), refused, this.directory)) {
      const before = this.#untracked.get(found.pid)?.highWaterBytes ?? 0;
      this.#untracked.set(found.pid, {
        command: found.command,
        highWaterBytes: Math.max(before, found.highWaterBytes),
      });
    }
    this.#young.survey();
    for (const known of this.#known.values()) {
      if (known.info.isForked && known.info.leftAtSeconds === null && known.handle !== null) {
        known.copiedBytes = inheritedCopies(known.info.pid, known.info.currentBytes) ?? known.copiedBytes;
      }
    }
  }
}
