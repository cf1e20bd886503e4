/**
 * Messages between the user's process (Python) and the proxy or launcher (Node), over the control endpoint.
 *
 * The process asks, the proxy answers: a request is one ZeroMQ message of two frames, `[HMAC-SHA256 hex of the body, body]`, the
 * body being JSON of a {@link ControlRequest}; the answer is of the same form with a {@link ControlReply}. Each request carries an id
 * that its reply repeats, so that an answer that comes after a time-out is not taken for the next one's.
 * The JSON Schema in `control.schema.json`, generated from here, is what the Python side is tested against.
 */
import * as z from 'zod/mini';
import { Observed } from './observed.js';
import { ReportEnvelope, Subject } from './report.js';

/** Raised whenever either side would misunderstand the other. */
export const CONTROL_VERSION = 6;

/**
 * The member of an execute_request's metadata by which a front end asks to profile a cell; its value is a {@link ProfileRequest}. It
 * asks for what `%%filprofile` in the cell asks for.
 */
export const REQUEST_METADATA = 'fil';

export const ProfileRequest = z.object({
  profile: z.boolean(),
  title: z.optional(z.string()),
  /** A directory for the report's files, in the terms of the kernel's process. */
  output: z.optional(z.string()),
  /** What the cell may hold, as `4GiB`. */
  limit: z.optional(z.string()),
  /** What has to be left of memory while the cell runs, as `500MB`; the server's setting if absent. */
  headroom: z.optional(z.string()),
  /** Whether the cell is interrupted, or its process ended, before memory runs out; the server's setting if absent. */
  guard: z.optional(z.boolean()),
  /** Whether nothing is displayed. */
  quiet: z.optional(z.boolean()),
  /** Whether the cell shows how it is going while it runs; the server's setting if absent. */
  live: z.optional(z.boolean()),
  /** Whether processes that the cell starts, or that work for it, are in the report (default: yes). */
  children: z.optional(z.boolean()),
  /** Whether the peak of all processes together is exact to the byte; the server's setting if absent. */
  exactTree: z.optional(z.boolean()),
});
export type ProfileRequest = z.infer<typeof ProfileRequest>;

const id = z.int().check(z.minimum(0));

/** A notebook cell whose code can appear in a call stack. */
export const CellSource = z.object({
  /** The file name that Python's code objects of this cell carry. */
  filename: z.string(),
  /** The n of `In [n]` at its latest execution. */
  executionCount: z.int().check(z.minimum(0)),
  source: z.string(),
});
export type CellSource = z.infer<typeof CellSource>;

/** A line of a report's program, for tables. Ordered by `bytes`, most first; together they are the peak. */
export const LineRecord = z.object({
  /** `Cell [7]` or a path; empty for memory of no line. */
  file: z.string(),
  /** From 1; 0 where there is none. */
  line: z.int().check(z.minimum(0)),
  /** Qualified name; for memory of no line what it is. */
  function: z.string(),
  source: z.string(),
  /** Held at the peak by the line itself and, for the user's own lines, by what it called in libraries. */
  bytes: z.int().check(z.minimum(0)),
  /** By the line and everything that it called. */
  totalBytes: z.int().check(z.minimum(0)),
});
export type LineRecord = z.infer<typeof LineRecord>;

const outcome = z.enum(['completed', 'error', 'interrupted']);

/** A sampled cell that has ended. */
export const EndedCell = z.object({
  subject: Subject,
  /** The Jupyter message that asked for the cell, as its parent header. */
  parentHeader: z.nullable(z.record(z.string(), z.unknown())),
  outcome,
  seconds: z.number().check(z.minimum(0)),
  /** The tracker's session with its figures; null if nothing was seen in it. */
  session: z.nullable(z.int().check(z.minimum(1))),
});
export type EndedCell = z.infer<typeof EndedCell>;

export const ControlRequest = z.discriminatedUnion('type', [
  /** First message of a process: who it is. Answered by `ok`, or by `refused` with a reason to show the user. */
  z.object({
    type: z.literal('hello'),
    id,
    version: z.int(),
    pid: z.int(),
    pythonVersion: z.string(),
    /** Base directory of relative file names in tracebacks. */
    workingDirectory: z.string(),
  }),
  /** Tracking is about to begin. Answered by `ok`, after which the process turns its tracker on, or by `refused`. */
  z.object({
    type: z.literal('begin'),
    id,
    subject: Subject,
    title: z.nullable(z.string()),
    /** The running cell and those that were new since the last request. */
    cells: z.array(CellSource),
    /** The Jupyter message that asked for this cell, as its parent header; post-mortem reports are sent as its answers. */
    parentHeader: z.nullable(z.record(z.string(), z.unknown())),
    /** Where to write the full report files however it ends, an existing directory, absolute; null for none. */
    outputDirectory: z.nullable(z.string()),
    /** Whether the parent header's cell may show how the profile is going while it runs. */
    live: z.boolean(),
    /** What the profiled code may hold, in bytes; null or absent for what there is. */
    limitBytes: z.optional(z.nullable(z.int().check(z.minimum(1)))),
    /** What has to be left meanwhile, in bytes; null or absent for what the process was started with. */
    headroomBytes: z.optional(z.nullable(z.int().check(z.minimum(1)))),
    /** Whether anything is done when it is not; null or absent for what the process was started with. */
    guard: z.optional(z.nullable(z.boolean())),
    /** Whether processes that the profiled code starts are in the report (default: yes). */
    children: z.optional(z.boolean()),
    /** Whether the peak of all processes together is exact to the byte; null or absent for the kernel's setting. */
    exactTree: z.optional(z.nullable(z.boolean())),
  }),
  /** The profile that was begun is given up, as the tracker could not be turned on: no report, no files. Answered by `ok`. */
  z.object({ type: z.literal('cancel'), id }),
  /** The running cell is about to be interrupted for want of memory: what is to be said. Answered by `shortage`. */
  z.object({ type: z.literal('shortage'), id }),
  /**
   * Cells that nobody asked to profile were sampled and have ended. Answered by `ok` once their figures were read, but nobody waits for
   * it before the tracker is turned on again.
   */
  z.object({
    type: z.literal('sampled'),
    id,
    ended: z.array(EndedCell),
    /** Cells that were new since the last request. */
    cells: z.array(CellSource),
  }),
  /** Tracking has ended (the tracker is already off). Answered by `report`. */
  z.object({
    type: z.literal('end'),
    id,
    outcome,
    /** With an error: whether it is a MemoryError, or has one as its cause or context. */
    memoryError: z.optional(z.boolean()),
    /** Absent where there is nobody to ask, as in a program without cells. */
    observed: z.optional(Observed),
  }),
  /** Which lines held what in a report that was answered before. Answered by `lines`. */
  z.object({ type: z.literal('lines'), id, report: ReportEnvelope }),
  /** Writes such a report into a file, by whose name its form is known, or all files into a directory. Answered by `saved`. */
  z.object({
    type: z.literal('save'),
    id,
    report: ReportEnvelope,
    /** Absolute. */
    path: z.string(),
  }),
]);
export type ControlRequest = z.infer<typeof ControlRequest>;

export const ControlReply = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ok'), id }),
  z.object({ type: z.literal('refused'), id, reason: z.string() }),
  z.object({
    type: z.literal('shortage'),
    id,
    /** A sentence. */
    reason: z.string(),
    /** The lines that hold most, a text each; empty if memory is not tracked. */
    topLines: z.array(z.string()),
  }),
  z.object({
    type: z.literal('report'),
    id,
    /** MIME type to data, as in Jupyter's `display_data`. */
    bundle: z.record(z.string(), z.unknown()),
    /** Files that were written, absolute. */
    files: z.array(z.string()),
    /** Why files that were asked for were not written; a sentence for the user, null if all is well. */
    filesProblem: z.nullable(z.string()),
  }),
  z.object({ type: z.literal('lines'), id, lines: z.array(LineRecord) }),
  z.object({ type: z.literal('saved'), id, files: z.array(z.string()) }),
]);
export type ControlReply = z.infer<typeof ControlReply>;
