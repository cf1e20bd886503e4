/**
 * What report building needs of the addon's snapshot. Declared here so that reports can be built, and tested, without the addon.
 */
import type { Snapshot as AddonSnapshot } from '../../../native/addon/index.js';

/** What a row of the code columns stands for; `process` where several processes' snapshots were joined. */
export type CodeKind = AddonSnapshot['codes']['kind'][number] | 'process';

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
