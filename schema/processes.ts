/** The processes that the profiled code started: part of a report, absent where there were none. */
import * as z from 'zod/mini';
import { column, wholeNumbers } from './column-schema.js';

const bytes = z.int().check(z.minimum(0));
const seconds = z.number().check(z.minimum(0));

/** A process whose memory was tracked. The first one is that of the profiled code itself. */
export const TrackedProcess = z.object({
  pid: z.int(),
  parentPid: z.nullable(z.int()),
  /** What to call it, in few words: its script, module or program. */
  name: z.string(),
  command: z.string(),
  /** `top` is the profiled one; the others were forked from a tracked process, or are programs that one has executed. */
  origin: z.enum(['top', 'forked', 'executed']),
  /** Whether it is a Python of which call stacks are known; of another program all memory is one frame. */
  hasStacks: z.boolean(),
  /** Its own peak, at whatever moment. */
  peakBytes: bytes,
  /** What it held when all together held most; its frame's bytes in the tree. */
  jointBytes: bytes,
  /**
   * Pages that were its parent's and that it has changed, so that they take memory twice: private dirty memory beyond what it allocated,
   * as it was sampled last. In no other figure. Null where it was not measured, as for processes that weren't forked or ended too soon.
   */
  copiedBytes: z.nullable(bytes),
  beganSeconds: seconds,
  /** Null if it was still running. */
  endedSeconds: z.nullable(seconds),
  /** Bytes at the moments of the report's timeline; empty if it was never there. */
  timeline: column(wholeNumbers(0)),
});
export type TrackedProcess = z.infer<typeof TrackedProcess>;

export const Processes = z.object({
  tracked: z.array(TrackedProcess),
  /** Processes that held too little to be listed. */
  small: z.object({ count: z.int().check(z.minimum(0)), peakBytes: bytes }),
  /** Descendants that were seen and could not be tracked, with the most memory that the system says they had (VmHWM). */
  untracked: z.array(z.object({ pid: z.int(), command: z.string(), highWaterBytes: bytes })),
  /** Processes that had no room to join. */
  refused: z.int().check(z.minimum(0)),
  /** By how much the joint peak can be higher than the report's `peakBytes`; 0 if every event was counted jointly. */
  boundBytes: bytes,
});
export type Processes = z.infer<typeof Processes>;
