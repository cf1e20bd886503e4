/** What the system's process table says about a tree of processes. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';

/** Clock ticks a second, which has been 100 on every Linux since 2.6 (USER_HZ). */
const TICKS = 100;
/** A process that began so much later than the one that is looked for has only its number. */
const SAME_SECONDS = 2;
const LONGEST_COMMAND = 1000;
const MOST_DESCENDANTS = 10_000;

/** Whether a process has ended: its memory is given back, even if nobody has asked for its status yet. */
export function isGone(pid: number, joinedAtSeconds: number): boolean {
  const fields = statOf(pid);
  if (fields === null) {
    return true;
  }
  const startedAtSeconds = Number(fields[19]) / TICKS;
  return fields[0] === 'Z' || fields[0] === 'X' || startedAtSeconds > bootSecondsOf(joinedAtSeconds) + SAME_SECONDS;
}

/** The fields of its state, from the third on; null if it has ended. */
function statOf(pid: number): string[] | null {
  // The second field, the command, may contain anything: the last ")" ends it.
  const text = read(`/proc/${pid}/stat`);
  return text === null ? null : text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** Null if it has ended. */
export function parentOf(pid: number): number | null {
  const parent = Number(statOf(pid)?.[1]);
  return Number.isInteger(parent) ? parent : null;
}

/** The words of its command; none if it has ended. */
export function commandOf(pid: number): string[] {
  return (read(`/proc/${pid}/cmdline`) ?? '').split('\0').filter((word) => word !== '');
}

/** Processes count from the machine's start, with the time that it slept (CLOCK_BOOTTIME). */
function bootSecondsOf(monotonicSeconds: number): number {
  const uptime = Number(read('/proc/uptime')?.split(' ')[0] ?? 0);
  const slept = Math.max(0, uptime - Number(process.hrtime.bigint()) / 1e9);
  return monotonicSeconds + slept;
}

export interface Untracked {
  readonly pid: number;
  readonly command: string;
  readonly highWaterBytes: number;
}

/**
 * Descendants that have not found the tree, or no room in it. Who is only about to become another program, and small programs, have its page
 * mapped.
 *
 * @param members pids that are known to be tracked.
 * @param refused pids that have its page mapped and could not join.
 * @param directory the tree's.
 */
export function untrackedBelow(
  top: number,
  members: ReadonlySet<number>,
  refused: ReadonlySet<number>,
  directory: string,
): Untracked[] {
  const found: Untracked[] = [];
  const stack = childrenOf(top);
  for (let seen = 0; stack.length > 0 && seen < MOST_DESCENDANTS; seen++) {
    const pid = stack.pop() ?? 0;
    stack.push(...childrenOf(pid));
    if (members.has(pid)) {
      continue;
    }
    const maps = read(`/proc/${pid}/maps`);
    const highWater = /^VmHWM:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1];
    // A process that is ending has no memory any more.
    if (maps === null || maps === '' || highWater === undefined) {
      continue;
    }
    if (maps.includes(`/${basename(directory)}/`) && !refused.has(pid)) {
      continue;
    }
    const command = commandOf(pid).join(' ');
    found.push({ pid, command: command.slice(0, LONGEST_COMMAND), highWaterBytes: Number(highWater) * 1024 });
  }
  return found;
}

/** A thread has the children that it started, until it ends: the first one has them then. */
function childrenOf(pid: number): number[] {
  return threadsOf(pid).flatMap((thread) =>
    (read(`/proc/${pid}/task/${thread}/children`) ?? '')
      .split(' ')
      .filter((word) => word !== '')
      .map(Number),
  );
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/**
 * Pages that a forked process has of its own beyond what it has allocated: copies of its parent's that it has changed. Null where the
 * system doesn't tell.
 *
 * @param allocatedBytes what it has allocated itself.
 */
export function inheritedCopies(pid: number, allocatedBytes: number): number | null {
  const kibibytes = /^Private_Dirty:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1];
  return kibibytes === undefined ? null : Math.max(0, Number(kibibytes) * 1024 - allocatedBytes);
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
