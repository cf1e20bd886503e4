/** What is known of the processes of one machine: from there to where the reports of all machines are put together. */
import * as z from 'zod/mini';
import { column, numbers, wholeNumbers } from '../../../schema/column-schema.js';

/** Raised when a reader of the last one would misread it. */
export const MACHINE_REPORT_FORMAT = 1;

const bytes = z.int().check(z.minimum(0));
const seconds = z.number().check(z.minimum(0));

const MachineProcess = z.object({
  /** What to call it; its pid is told beside it. */
  name: z.string(),
  pid: z.int(),
  parentPid: z.int(),
  command: z.string(),
  /** Whether it is a worker of the cluster; others were started by one. */
  isWorker: z.boolean(),
  origin: z.enum(['forked', 'executed']),
  hasStacks: z.boolean(),
  /** Since the machine's beginning. */
  beganSeconds: seconds,
  /** Null if it was still running. */
  endedSeconds: z.nullable(seconds),
  /** Set if it ended without a word. */
  death: z.nullable(
    z.object({ heldBytes: bytes, limitBytes: z.nullable(bytes), task: z.string(), lines: z.array(z.string()) }),
  ),
  /** At the moments of the machine's timeline. */
  timeline: column(wholeNumbers(0)),
  /** A report of it at its own peak; checked as a report is. */
  report: z.unknown(),
});
export type MachineProcess = z.infer<typeof MachineProcess>;

export const MachineReport = z.object({
  format: z.literal(MACHINE_REPORT_FORMAT),
  /** The version that wrote it. */
  filprofiler: z.string(),
  host: z.string(),
  /** ISO 8601, UTC, by the machine's own clock. */
  startedAt: z.string().check(z.regex(/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/)),
  /** To be added to the machine's clock, for the one that all machines know. */
  clockOffsetSeconds: z.number(),
  durationSeconds: seconds,
  /** What its processes held together, at most. */
  peakBytes: bytes,
  boundBytes: bytes,
  timeline: z.object({ seconds: column(numbers(0)), bytes: column(wholeNumbers(0)) }),
  processes: z.array(MachineProcess),
  /** Processes that could not join, for want of room. */
  refused: z.int().check(z.minimum(0)),
});
export type MachineReport = z.infer<typeof MachineReport>;
