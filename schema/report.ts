/**
 * The report: what was in memory at the peak, by call stack. The one definition that the proxy writes, the notebook stores and
 * every view draws. No DOM and no Node types here. The JSON Schema in `report.schema.json` is generated from it.
 */
import * as z from 'zod/mini';
import { at } from './columns.js';
import { Cluster } from './cluster.js';
import { column, numbers, oneOf, strings, wholeNumbers } from './column-schema.js';
import { Observed } from './observed.js';
import { OutOfMemory } from './out-of-memory.js';
import { Processes } from './processes.js';
import { say } from './words.js';

/** The MIME type under which a report is displayed and stored in a notebook; its data is an {@link ReportEnvelope}. */
export const REPORT_MIME_TYPE = 'application/vnd.fil.memory-profile+json';

/** Raised by one when a reader of the last version would misread a report. A reader refuses versions above its own. */
export const REPORT_VERSION = 1;

const count = z.int().check(z.minimum(0));
const bytes = z.int().check(z.minimum(0));
const seconds = z.number().check(z.minimum(0));
const counts = column(wholeNumbers(0));
/** Indices into a table of the same report; -1 where there is none. */
const indicesOrNone = column(wholeNumbers(-1));
const texts = column(strings());

/** What was profiled. */
export const Subject = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('cell'),
    /** The n of `In [n]`. */
    executionCount: z.nullable(count),
    /** The id of the notebook's cell, where the front end sent one. */
    cellId: z.nullable(z.string()),
  }),
  z.object({ kind: z.literal('program'), command: z.array(z.string()) }),
  z.object({ kind: z.literal('call'), name: z.string() }),
]);

/** How the profiled code ended. `running`: it has not, the report was asked for meanwhile. `died`: the process ended before tracking did; the report was made post mortem. */
const Outcome = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('completed') }),
  z.object({ kind: z.literal('error') }),
  z.object({ kind: z.literal('interrupted') }),
  z.object({ kind: z.literal('running') }),
  z.object({ kind: z.literal('died'), exitCode: z.nullable(z.int()), signal: z.nullable(z.string()) }),
]);

/** What a frame can stand for. */
export const FRAME_KINDS = [
  'root',
  'python',
  'no-python-stack',
  'other',
  'skipped-callers',
  'mapped-file',
  'shared-memory',
  'process',
  'task',
] as const;

/**
 * Frames, a column each, of one length. A frame is one line of one function. The frames of the root, of "other" (pruned nodes), of
 * memory without a Python stack, and of the callers that were skipped in the middle of a stack too deep to draw are frames like any
 * other, told apart by `kind`. So are mappings, which stand below the line that mapped them: a file, of which the pages count that
 * were in memory, or shared memory. Where several processes took part, each is a frame below the root: its `function` is what to call
 * it, its `file` the command; below a worker of a cluster stand its tasks, by their names, and what it held outside of tasks, a `task`
 * without a name. What a line holds otherwise is memory of its own.
 */
const FrameTable = z.object({
  /** What the row stands for. */
  kind: column(oneOf(FRAME_KINDS)),
  /** Qualified name of the function; `<module>` for the top level. Empty where `kind` is not `python`. */
  function: texts,
  /**
   * `Cell [7]` for a notebook cell; for others the path as Python knows it, of libraries from `site-packages` or `lib/python3.x` on.
   * Of a mapping the path of the file, or the name of the shared memory, empty if it has none.
   */
  file: texts,
  /** Line number from 1, in the cell for cells; 0 where unknown. */
  line: counts,
  /** Text of that line without its indentation; empty where unknown. */
  sourceLine: texts,
  /** The execution count of the notebook cell that the frame's code is of; -1 for other code. */
  cell: indicesOrNone,
});

/**
 * The call tree at the peak, a column each, in pre-order: a parent stands before its children, node 0 is the root and its parent
 * is -1. Siblings are ordered from most bytes to least.
 */
const CallTree = z.object({
  parent: indicesOrNone,
  /** Index into the frame table. */
  frame: counts,
  /** Bytes at the peak of the node and everything below it. */
  totalBytes: counts,
  /** Of these, what the node's own line allocated itself. */
  selfBytes: counts,
  /** Of a sampled report: what of `selfBytes` is estimated from samples; the rest was counted. Absent of others. */
  sampledBytes: z.optional(counts),
});

/**
 * One allocated byte in `meanBytes` was sampled, and blocks of `exactFromBytes` and more were counted each: all bytes are estimates, whose
 * intervals `schema/sampling.ts` tells.
 */
const Sampling = z.object({
  meanBytes: z.int().check(z.minimum(1)),
  exactFromBytes: bytes,
  /** What of `retainedBytes` is estimated; absent where that is not known. */
  retainedSampledBytes: z.optional(bytes),
});

/** The job that a report is of, to tell it from others: names and labels that its environment gave. */
const Job = z.object({
  name: z.string(),
  host: z.string(),
  pid: z.int(),
  labels: z.record(z.string(), z.string()),
});
export type Job = z.infer<typeof Job>;

/** What the figures of a report that was merged from others mean. */
export const MERGE_RULES = ['sum', 'largest', 'mean'] as const;
export type MergeRule = (typeof MERGE_RULES)[number];

/** The reports that a merged one is of, in the order of their beginning. */
const Merged = z.object({
  /**
   * `sum`: each line's bytes at the peak of its own process, added up: what they would hold if all reached their peaks at one moment, so at
   * least what they did hold together. `largest`: of each line the most that it held at the peak of any one report. `mean`: the average.
   */
  rule: z.enum(MERGE_RULES),
  reports: z.array(z.object({ name: z.string(), startedAt: z.string(), durationSeconds: seconds, peakBytes: bytes })),
});
export type Merged = z.infer<typeof Merged>;

/** What was left out of `tree`, to say it openly. Its bytes are in `other` nodes, so the totals hold. */
const Pruned = z.object({ nodes: count, bytes });

/** Memory over time: tracked bytes at moments, `seconds` since the start, ascending. May be empty for short runs. */
const Timeline = z.object({ seconds: column(numbers(0)), bytes: counts });

/** Something that a reader has to know to read the figures right. Our views say it by its code, see notes.ts. */
const Note = z.object({
  /** Stable name to test for. */
  code: z.enum([
    'call-sites-full',
    'stacks-truncated',
    'allocator-replaced',
    'tracker-memory-exhausted',
    'stacks-missing',
    'recursion-folded',
    'small-objects-missing',
    'sampled',
    'merged',
    'cluster',
    'workers-died',
    'workers-missing',
    'process-died',
    'live-snapshot',
  ]),
  /** English, one sentence, plain text. */
  text: z.string(),
});

/** How much memory there was for the process: that of its container, or of the machine. */
const MemoryLimit = z.object({ of: z.enum(['container', 'machine']), bytes });

/** A report, as it is drawn. All byte counts are exact unless `notes` says otherwise. */
export const Report = z.object({
  version: z.literal(REPORT_VERSION),
  title: z.nullable(z.string()),
  subject: Subject,
  outcome: Outcome,
  /**
   * Bytes that the profiled code held at its peak: the sum of `selfBytes` over the tree. If memory ran out, the tree and this figure are of
   * that moment.
   */
  peakBytes: bytes,
  /** Bytes of the profiled code's allocations that were still live at its end. */
  retainedBytes: bytes,
  /** Resident memory of the process before the profiled code; null where it could not be read. */
  residentBeforeBytes: z.nullable(bytes),
  /**
   * Resident memory of the process during the profiled code, the profiler's own included; null where it could not be read, missing in
   * reports of before it was. `peakBytes` is the kernel's high-water mark if `isExact`, else the largest of a few samples; `endBytes` is
   * null if the process had ended. `ownBytes` is what of it the profiler's own tables took, where that was measured.
   */
  resident: z.optional(
    z.nullable(
      z.object({
        peakBytes: bytes,
        isExact: z.boolean(),
        endBytes: z.nullable(bytes),
        ownBytes: z.optional(bytes),
      }),
    ),
  ),
  /**
   * The most that was mapped and never touched: addresses that took no memory and that no figure here counts. Absent in reports of
   * older versions.
   */
  untouchedBytes: z.optional(bytes),
  /** Null where it could not be read; absent in reports of older versions. */
  memoryLimit: z.optional(z.nullable(MemoryLimit)),
  /** What the process itself told at the end; absent where it could not, as after its death. */
  observed: z.optional(Observed),
  /** The processes that took part; absent if it was the profiled one alone. `peakBytes` is what all held together. */
  processes: z.optional(Processes),
  /** Of a cluster's workers; then `processes` are they, each at its own peak, and `peakBytes` is their sum. */
  cluster: z.optional(Cluster),
  /** What happened when memory ran out; absent if it did not. */
  outOfMemory: z.optional(OutOfMemory),
  /** Absent if every allocation was counted. */
  sampling: z.optional(Sampling),
  /** Absent of what is no job. */
  job: z.optional(Job),
  /** Absent of a report that is of one run. */
  merged: z.optional(Merged),
  /** ISO 8601, UTC. */
  startedAt: z.string(),
  durationSeconds: seconds,
  frames: FrameTable,
  tree: CallTree,
  pruned: Pruned,
  timeline: Timeline,
  notes: z.array(Note),
  producer: z.object({ name: z.literal('filprofiler'), version: z.string(), python: z.string() }),
});
export type Report = z.infer<typeof Report>;
export type ReportSubject = Report['subject'];
export type ReportOutcome = Report['outcome'];
export type MemoryLimit = z.infer<typeof MemoryLimit>;
export type ReportNote = Report['notes'][number];
export type FrameKind = Report['frames']['kind'][number];

/**
 * How a report is stored in a notebook. Compressed, as nbformat writes every array element on a line of its own, which doubles
 * a report of 5,000 nodes.
 */
export const ReportEnvelope = z.object({
  version: z.int().check(z.minimum(1)),
  encoding: z.literal('gzip+base64'),
  /** Peak bytes, for tools that don't want to unpack. */
  peakBytes: bytes,
  /** Of a sampled report: between which bytes the true peak lies, in 95 of 100 cases. */
  peakInterval: z.optional(z.object({ lowBytes: z.int(), highBytes: z.int() })),
  /** JSON text of a {@link Report}, gzip, base64. */
  data: z.string(),
});
export type ReportEnvelope = z.infer<typeof ReportEnvelope>;

/** A report that can't be read, with a sentence for the reader: what is wrong, which values, what to do. */
export class ReportError extends Error {
  override readonly name = 'ReportError';
}

/**
 * Checks data from outside and returns it as a report.
 *
 * @param data parsed JSON of any origin.
 * @throws {ReportError} if it is not a report of a version that this code can read, or its columns don't fit together.
 */
export function parseReport(data: unknown): Report {
  const version = versionOf(data);
  if (version !== null && version > REPORT_VERSION) {
    throw new ReportError(
      say(
        'This report has version %1, this Fil reads versions up to %2. Update filprofiler to read it.',
        version,
        REPORT_VERSION,
      ),
    );
  }
  const result = z.safeParse(Report, data);
  if (!result.success) {
    const issue = result.error.issues[0];
    const where = issue === undefined ? '' : ` (${issue.path.join('.') || 'at the top'}: ${issue.message})`;
    throw new ReportError(say('This is not a readable Fil report%1. Profile again to make a new one.', where));
  }
  checkColumns(result.data);
  return result.data;
}

function versionOf(data: unknown): number | null {
  const version = typeof data === 'object' && data !== null && 'version' in data ? data.version : null;
  return typeof version === 'number' ? version : null;
}

/**
 * What the types can't say: columns of one length, indices inside their tables, a tree in pre-order whose bytes add up.
 */
function checkColumns({ frames, tree, timeline, peakBytes, outOfMemory }: Report): void {
  const frameCount = frames.kind.length;
  const nodeCount = tree.parent.length;
  const lengthsAgree =
    [frames.function, frames.file, frames.line, frames.sourceLine, frames.cell].every((c) => c.length === frameCount) &&
    [tree.frame, tree.totalBytes, tree.selfBytes, tree.sampledBytes ?? tree.frame].every(
      (c) => c.length === nodeCount,
    ) &&
    timeline.bytes.length === timeline.seconds.length;
  const requestIsSound = outOfMemory?.request?.stack.every((row) => row < frameCount) ?? true;
  if (!lengthsAgree || !requestIsSound || !isSound(tree, frameCount) || tree.totalBytes[0] !== peakBytes) {
    throw new ReportError(
      say('This Fil report is damaged: its tables do not fit together. Profile again to make a new one.'),
    );
  }
}

/** Readers walk the tree with the path to the node last seen, and draw callees inside their callers. */
function isSound({ parent, frame, totalBytes, selfBytes }: Report['tree'], frameCount: number): boolean {
  const nodeCount = parent.length;
  if (nodeCount === 0 || parent[0] !== -1) {
    return false;
  }
  const depth = new Int32Array(nodeCount);
  const path = new Int32Array(nodeCount);
  const belowBytes = new Float64Array(nodeCount);
  for (let node = 0; node < nodeCount; node++) {
    if (at(frame, node) >= frameCount) {
      return false;
    }
    if (node > 0) {
      const above = at(parent, node);
      if (above < 0 || above >= node || at(path, at(depth, above)) !== above) {
        return false;
      }
      depth[node] = at(depth, above) + 1;
      belowBytes[above] = at(belowBytes, above) + at(totalBytes, node);
    }
    path[at(depth, node)] = node;
  }
  for (let node = 0; node < nodeCount; node++) {
    if (at(belowBytes, node) + at(selfBytes, node) !== at(totalBytes, node)) {
      return false;
    }
  }
  return true;
}
