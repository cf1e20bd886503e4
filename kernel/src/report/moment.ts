/** Of which moment a report is: the peak, or when memory ran out. */
import type { OutOfMemoryCause } from '../../../schema/out-of-memory.js';
import type { Snapshot } from '../addon.js';

/** The snapshot with the bytes of the moment when memory ran out in place of those of the peak. */
export function atMoment(snapshot: Snapshot, outOfMemory: OutOfMemoryCause | undefined): Snapshot {
  if (outOfMemory === undefined) {
    return snapshot;
  }
  if (outOfMemory.action === 'raised') {
    // What was held when the allocation failed; the exception has let go of some of it since. Without a mark, the most that was held.
    return snapshot.failure === null ? snapshot : { ...snapshot, peakSiteBytes: snapshot.failureSiteBytes };
  }
  return { ...snapshot, peakSiteBytes: snapshot.currentSiteBytes };
}
