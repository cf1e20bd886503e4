/** What a report says of the processes of a tree, from what is known of each. */
import type { Processes, TrackedProcess } from '../../schema/processes.js';
import type { Snapshot, TreeMember } from './addon.js';
import { type ProcessPart, processName } from './report/processes.js';
import type { QuietProcess, SmallProcess } from './young-processes.js';

/** What held less than this at its peak and nothing at the joint one is only counted. */
export const SMALL_BYTES = 2 ** 20;
const MOST_LISTED = 500;

/** A process with a segment. */
export interface SeenMember {
  readonly number: number;
  readonly info: TreeMember;
  /** Null where it held nothing at the joint peak and its segment was let go. */
  readonly snapshot: Snapshot | null;
  readonly copiedBytes: number | null;
}

/** What is known of a tree, of the session that is told. */
export interface SeenTree {
  readonly members: readonly SeenMember[];
  /** Those without a segment that are worth a line. */
  readonly quiet: readonly QuietProcess[];
  /** Those that are only counted. */
  readonly small: readonly SmallProcess[];
  readonly untracked: Processes['untracked'];
  /** How many could not join. */
  readonly refused: number;
  /** What one process may hold unseen by the others; 0 if every event is counted jointly. */
  readonly creditBytes: number;
}

/** The process at the top. */
export interface TopProcess {
  /** Its columns, with `jointSiteBytes`. */
  readonly snapshot: Snapshot;
  readonly command: readonly string[];
}

/** What a report needs of the tree. */
export interface TreeSnapshot {
  readonly parts: readonly ProcessPart[];
  readonly processes: Processes;
}

/** When a process was there. */
type Life = Pick<TreeMember, 'joinedAtSeconds' | 'leftAtSeconds'>;

/** What is told of any process beside the one at the top. */
type Described = Life &
  Pick<TrackedProcess, 'pid' | 'parentPid' | 'hasStacks' | 'peakBytes' | 'jointBytes' | 'copiedBytes'>;

/**
 * What the report needs; null if no other process took part.
 *
 * @param timelines what each held at the report's moments, by the members' numbers; 0 is the top process's.
 */
export function describeTree(
  top: TopProcess,
  { members, quiet, small, untracked, refused, creditBytes }: SeenTree,
  timelines: ReadonlyMap<number, readonly number[]>,
): TreeSnapshot | null {
  const parts: ProcessPart[] = [];
  const tracked: TrackedProcess[] = [];
  const counted: Pick<SmallProcess, 'peakBytes'>[] = [...small];
  const describe = (
    command: readonly string[],
    isForked: boolean,
    process: Described,
    timeline: readonly number[],
  ): void => {
    const { joinedAtSeconds, leftAtSeconds, ...figures } = process;
    const began = top.snapshot.beganAtSeconds;
    tracked.push({
      ...figures,
      name: processName(command, isForked),
      command: command.join(' '),
      origin: isForked ? 'forked' : 'executed',
      beganSeconds: Math.max(0, joinedAtSeconds - began),
      endedSeconds: leftAtSeconds === null ? null : Math.max(0, leftAtSeconds - began),
      timeline: [...timeline],
    });
  };
  for (const { number, info, snapshot, copiedBytes } of members) {
    const { pid, parentPid, isForked, hasStacks, joinedAtSeconds, leftAtSeconds } = info;
    const jointBytes = snapshot === null ? 0 : sum(snapshot.jointSiteBytes);
    const command = wordsOf(info.command);
    if (snapshot !== null && jointBytes > 0) {
      const siteBytes = snapshot.jointSiteBytes;
      const name = processName(command, isForked);
      parts.push({ pid, name, command: command.join(' '), snapshot: isOver(snapshot, info), siteBytes });
    } else if (info.peakBytes < SMALL_BYTES) {
      counted.push(info);
      continue;
    }
    const peakBytes = Math.max(0, info.peakBytes);
    const life = { joinedAtSeconds, leftAtSeconds };
    describe(
      command,
      isForked,
      { pid, parentPid, hasStacks, peakBytes, jointBytes, copiedBytes, ...life },
      timelines.get(number) ?? [],
    );
  }
  for (const { pid, parentPid, command, peakBytes, copiedBytes, joinedAtSeconds, leftAtSeconds } of quiet) {
    const life = { joinedAtSeconds, leftAtSeconds };
    describe(command, true, { pid, parentPid, hasStacks: true, peakBytes, jointBytes: 0, copiedBytes, ...life }, []);
  }
  if (tracked.length === 0 && untracked.length === 0 && refused === 0) {
    return null;
  }
  tracked.sort((a, b) => b.jointBytes - a.jointBytes || b.peakBytes - a.peakBytes);
  const lives: Life[] = [...members.map(({ info }) => info), ...quiet, ...small];
  const isJoint = parts.length > 0;
  const first = topPart(top, isJoint);
  return {
    parts: isJoint ? [first, ...parts] : [],
    processes: {
      tracked: [topOf(first, top.snapshot.peakBytes, timelines.get(0) ?? []), ...tracked.slice(0, MOST_LISTED)],
      small: {
        count: counted.length,
        peakBytes: counted.reduce((most, { peakBytes }) => Math.max(most, peakBytes), 0),
      },
      untracked: [...untracked],
      refused,
      boundBytes: lives.length === 0 ? 0 : 2 * creditBytes * mostAtOnce(lives),
    },
  };
}

function topPart({ snapshot, command }: TopProcess, isJoint: boolean): ProcessPart {
  return {
    pid: snapshot.pid,
    name: processName(command, false),
    command: command.join(' '),
    snapshot,
    siteBytes: isJoint ? snapshot.jointSiteBytes : snapshot.peakSiteBytes,
  };
}

function topOf(
  { pid, name, command, siteBytes }: ProcessPart,
  peakBytes: number,
  timeline: readonly number[],
): TrackedProcess {
  return {
    pid,
    parentPid: null,
    name,
    command,
    origin: 'top',
    hasStacks: true,
    peakBytes: Math.max(0, peakBytes),
    jointBytes: sum(siteBytes),
    copiedBytes: null,
    beganSeconds: 0,
    endedSeconds: null,
    timeline: [...timeline],
  };
}

/** The words of a command line as the kernel gives it: each ends with a zero byte. */
function wordsOf(command: Buffer): string[] {
  return command
    .toString('utf8')
    .split('\0')
    .filter((word) => word !== '');
}

/** Of a process that has ended nothing is kept. */
function isOver(snapshot: Snapshot, { leftAtSeconds }: TreeMember): Snapshot {
  return leftAtSeconds === null
    ? snapshot
    : { ...snapshot, currentSiteBytes: new Float64Array(snapshot.currentSiteBytes.length) };
}

/** How many processes lived at the same time, with the one at the top. */
function mostAtOnce(lives: readonly Life[]): number {
  const moments = lives.flatMap(({ joinedAtSeconds, leftAtSeconds }) => [
    { seconds: joinedAtSeconds, change: 1 },
    ...(leftAtSeconds === null ? [] : [{ seconds: leftAtSeconds, change: -1 }]),
  ]);
  // Who comes at the moment at which another goes was there with it.
  moments.sort((a, b) => a.seconds - b.seconds || b.change - a.change);
  let now = 1;
  let most = 1;
  for (const { change } of moments) {
    now += change;
    most = Math.max(most, now);
  }
  return most;
}

function sum(column: Float64Array): number {
  return column.reduce((total, bytes) => total + bytes, 0);
}
