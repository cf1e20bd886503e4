/**
 * What a sampled cell held, as the proxy tells it to front ends: by a comm, so that nothing of it is an output of the cell, which a notebook
 * would store. No DOM and no Node types here.
 *
 * A front end that shows it opens a comm of the target and the id {@link SAMPLED_CELLS}. From then on each cell that runs with a cell id
 * and that nobody profiles is sampled, and a message with a {@link SampledCell} follows its end. Closing the comm ends it. All front
 * ends of a kernel share the one comm.
 */
import * as z from 'zod/mini';
import type { Report } from './report.js';
import { intervalInWords, sampledPeakBytes } from './sampling.js';
import { peakParts } from './summary.js';
import { formatBytes, formatSeconds } from './units.js';
import { say } from './words.js';

/** Name of the comm's target and its id. That of filprofiler/_sampled_cells.py; the browser tests sample by it. */
export const SAMPLED_CELLS = 'filprofiler.sampled-cells';

/** Raised by one when a reader of the last version would misread it. */
export const SAMPLED_CELL_VERSION = 1;

export const SampledCell = z.object({
  version: z.literal(SAMPLED_CELL_VERSION),
  /** The notebook's id of the cell. */
  cellId: z.string(),
  /** MIME type to data of its report, as in Jupyter's `display_data`. */
  bundle: z.record(z.string(), z.unknown()),
});
export type SampledCell = z.infer<typeof SampledCell>;

/** A sampled cell in a few words, and all that is to be known about them. */
export interface SampledFigures {
  readonly short: string;
  /** With the interval of each estimate. */
  readonly long: string;
}

export function sampledFigures(report: Report): SampledFigures {
  const { peakBytes, durationSeconds, sampling } = report;
  const keptBytes = peakParts(report)?.keptBytes ?? 0;
  const sampledBytes = sampledPeakBytes(report);
  // What of the kept is estimated is known where that is the peak; else it is taken to be all, of which the interval is the widest.
  const keptSampledBytes = keptBytes === peakBytes ? sampledBytes : keptBytes;
  const peakInterval = intervalInWords(peakBytes, sampledBytes, sampling);
  const keptInterval = intervalInWords(keptBytes, keptSampledBytes, sampling);
  const seconds = formatSeconds(durationSeconds);
  return {
    short: say('Peak %1 · kept %2 · %3', formatBytes(peakBytes), formatBytes(keptBytes), seconds),
    long: say(
      'Peak %1 (%2), kept %3 (%4), in %5. Estimated from a sample of one byte in %6; in 95 of 100 cases the true figures are within these bounds.',
      formatBytes(peakBytes),
      peakInterval,
      formatBytes(keptBytes),
      keptInterval,
      seconds,
      formatBytes(sampling?.meanBytes ?? 0),
    ),
  };
}
