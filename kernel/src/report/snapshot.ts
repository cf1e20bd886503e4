/**
 * What report building needs of the addon's snapshot. Declared here so that reports can be built, and tested, without the addon.
 */
import type { Snapshot as AddonSnapshot } from '../../../native/addon/index.js';

/** What a row of the code columns stands for; `process` and `task` where snapshots of several were joined. */
export type CodeKind = AddonSnapshot['codes']['kind'][number] | 'process' | 'task';

type Columns = Pick<
  AddonSnapshot,
  | 'failure'
  | 'parent'
  | 'code'
  | 'line'
  | 'peakSiteBytes'
  | 'currentSiteBytes'
  | 'sampling'
  | 'degradations'
  | 'consistent'
  | 'mostUntouchedBytes'
>;

/** The columns that a report is built from. */
export interface Snapshot extends Columns {
  readonly codes: Omit<AddonSnapshot['codes'], 'kind'> & { readonly kind: readonly CodeKind[] };
}
