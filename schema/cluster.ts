/** The workers of a cluster that were profiled together: part of a report, absent of others. */
import * as z from 'zod/mini';

const bytes = z.int().check(z.minimum(0));
const seconds = z.number().check(z.minimum(0));

/**
 * Machines have no clock in common, so there is no moment of which the peak of all of them could be told: each process of the report is
 * shown at its own peak, and their sum is an upper bound of what the cluster held at one moment.
 */
export const Cluster = z.object({
  machines: z.array(
    z.object({
      host: z.string(),
      workers: z.int().check(z.minimum(0)),
      /** What its processes held together at one moment, at most; exact to `boundBytes`. */
      peakBytes: bytes,
      boundBytes: bytes,
    }),
  ),
  /** Whether the client's own process is among the processes. */
  hasClient: z.boolean(),
  /** Workers that ended without a word, as those that are killed at their memory limit. */
  deaths: z.array(
    z.object({
      /** As its frame says. */
      worker: z.string(),
      seconds,
      heldBytes: bytes,
      /** What it was allowed to hold; null for no limit. */
      limitBytes: z.nullable(bytes),
      /** The task that held most of it; empty if that was none. */
      task: z.string(),
      /** The lines that held most of it, in words. */
      lines: z.array(z.string()),
    }),
  ),
  /** Workers of which the report knows nothing, or not all. */
  missing: z.array(z.object({ worker: z.string(), reason: z.string() })),
});
export type Cluster = z.infer<typeof Cluster>;
