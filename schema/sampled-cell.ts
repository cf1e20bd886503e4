/**
 * What a sampled cell held, as the proxy tells it to front ends: by a comm, so that nothing of it is an output of the cell, which a notebook
 * would store. No DOM and no Node types here.
 *
 * A front end that shows it opens a comm of the target and the id {@link SAMPLED_CELLS}. From then on each cell that runs with a cell id
 * and that nobody profiles is sampled, and a message with a {@link SampledCell} follows its end. Closing the comm ends it. All front
 * ends of a kernel share the one comm.
 */
import * as z from 'zod/mini';

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
