/**
 * What report building needs of the addon's snapshot. Declared here so that reports can be built, and tested, without the addon.
 */
import type { Snapshot as AddonSnapshot } from '../../../native/addon/index.js';

/** The columns that a report is built from. */
export type Snapshot = Pick<
  AddonSnapshot,
  | 'failure'
  | 'parent'
  | 'code'
  | 'line'
  | 'peakSiteBytes'
  | 'currentSiteBytes'
  | 'codes'
  | 'sampling'
  | 'degradations'
  | 'consistent'
  | 'mostUntouchedBytes'
>;
