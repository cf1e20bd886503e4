/**
 * What a sampled cell held, as the proxy tells it to front ends: by a comm, so that nothing of it is an output of the cell, which a notebook
 * would store. No DOM and no Node types here.
 *
 * A page that shows it opens a comm of the target {@link SAMPLED_CELLS}, with an id of its own that begins with that. From then on each
 * cell that runs with a cell id and that nobody profiles is sampled, and its {@link SampledCell} follows its end. The reports stay with the
 * kernel: {@link ReportWish} asks for one, also while a cell runs, and {@link SampledReport} answers. What the kernel says goes to all
 * pages at once, under the id {@link SAMPLED_CELLS}.
 *
 * It ends when all pages have closed their comms. One that is reloaded, or whose tab is closed, says nothing, and may come back for the
 * figures: so it counts until another page closes its comm. Then the kernel asks with {@link RollCall} who is there.
 */
import * as z from 'zod/mini';
import { intervalInWords, mostUnseenBytes } from './sampling.js';
import { formatBytes, formatSeconds } from './units.js';
import { say } from './words.js';

/** Name of the comms' target, begin of their ids, id of what the kernel says. That of filprofiler/_sampled_cells.py; the browser tests sample by it. */
export const SAMPLED_CELLS = 'filprofiler.sampled-cells';

/** Raised by one when a reader of the last version would misread it. */
export const SAMPLED_CELL_VERSION = 2;

const bytes = z.number().check(z.minimum(0));
/** Tells runs of cells apart: no two of a kernel have the same. */
const serial = z.int().check(z.minimum(1));

/** A cell has ended. */
export const SampledCell = z.object({
  kind: z.literal('cell'),
  version: z.literal(SAMPLED_CELL_VERSION),
  serial,
  /** The notebook's id of the cell. */
  cellId: z.string(),
  /** The n of its `In [n]`; null if it has none. */
  executionCount: z.nullable(z.int()),
  /** Told before, to a front end that may not have been there. */
  isRepeated: z.boolean(),
  peakBytes: bytes,
  /** What of the peak is estimated from samples; the rest was counted. */
  peakSampledBytes: bytes,
  /** What of the peak was still held at the end. */
  keptBytes: bytes,
  keptSampledBytes: bytes,
  durationSeconds: z.number().check(z.minimum(0)),
  /** One allocated byte in so many was sampled, blocks of so many bytes and more were counted each. */
  meanBytes: z.int().check(z.minimum(1)),
  exactFromBytes: bytes,
  /** Whether there is a report: not if nothing was seen. */
  hasReport: z.boolean(),
});
export type SampledCell = z.infer<typeof SampledCell>;

/** The report that was asked for; of a kernel that ends, all that it has. */
export const SampledReport = z.object({
  kind: z.literal('report'),
  version: z.literal(SAMPLED_CELL_VERSION),
  serial,
  /** MIME type to data, as in Jupyter's `display_data`; null if it is not kept any more. */
  bundle: z.nullable(z.record(z.string(), z.unknown())),
});
export type SampledReport = z.infer<typeof SampledReport>;

/** A page has left: those that are still there open their comms again, or do not count any more in a minute. */
export const RollCall = z.object({ kind: z.literal('roll-call'), version: z.literal(SAMPLED_CELL_VERSION) });

/** What the kernel says by the comm. */
export const SampledNews = z.discriminatedUnion('kind', [SampledCell, SampledReport, RollCall]);
export type SampledNews = z.infer<typeof SampledNews>;

/** What a page says by its comm: it wants the report of a run. */
export const ReportWish = z.object({ report: serial });
export type ReportWish = z.infer<typeof ReportWish>;

/** A sampled cell in a few words, and all that is to be known about them. */
export interface SampledFigures {
  readonly short: string;
  /** With the interval of each estimate. */
  readonly long: string;
}

/** Cells that held less and took less time are of no interest to a reader who did not ask. */
const NOTEWORTHY_BYTES = 10 * 2 ** 20;
const NOTEWORTHY_SECONDS = 1;

/** Whether a reader who did not ask wants to see what a cell held. */
export function isNoteworthy({ peakBytes, durationSeconds }: SampledCell): boolean {
  return peakBytes >= NOTEWORTHY_BYTES || durationSeconds >= NOTEWORTHY_SECONDS;
}

/** What they are made of. */
type Figures = Pick<
  SampledCell,
  'peakBytes' | 'peakSampledBytes' | 'keptBytes' | 'keptSampledBytes' | 'durationSeconds' | 'meanBytes'
>;

export function sampledFigures(cell: Figures): SampledFigures {
  const { peakBytes, keptBytes, durationSeconds, meanBytes } = cell;
  const seconds = formatSeconds(durationSeconds);
  const how = say(
    'Estimated from a sample of one byte in %1; in 95 of 100 cases the true figures are within these bounds.',
    formatBytes(meanBytes),
  );
  if (peakBytes === 0) {
    const most = formatBytes(mostUnseenBytes(cell));
    return {
      short: say('Peak below %1 · %2', most, seconds),
      long: `${say('Less than %1, in %2: too little for the sample to see.', most, seconds)} ${how}`,
    };
  }
  return {
    short: say('Peak %1 · kept %2 · %3', formatBytes(peakBytes), formatBytes(keptBytes), seconds),
    long: `${say(
      'Peak %1 (%2), kept %3 (%4), in %5.',
      formatBytes(peakBytes),
      intervalInWords(peakBytes, cell.peakSampledBytes, cell),
      formatBytes(keptBytes),
      intervalInWords(keptBytes, cell.keptSampledBytes, cell),
      seconds,
    )} ${how}`,
  };
}
