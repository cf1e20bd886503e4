import type { Snapshot } from '../src/addon.js';

/** All bytes were allocated in line 2 of the cell "/tmp/cell.py", in session 1. */
export function cellSnapshot(peakBytes: number, currentBytes: number, changes: Partial<Snapshot> = {}): Snapshot {
  return {
    state: 'attached',
    session: 1,
    currentBytes,
    peakBytes,
    programBegan: false,
    uncaughtMemoryError: false,
    siteCount: 2,
    pid: 1,
    pythonVersion: '3.12.1',
    beganAtSeconds: 10,
    endedAtSeconds: 12.5,
    parent: Uint32Array.of(0, 0),
    code: Uint32Array.of(0xffffffff, 0),
    line: Int32Array.of(0, 2),
    peakSiteBytes: Float64Array.of(0, peakBytes),
    currentSiteBytes: Float64Array.of(0, currentBytes),
    failureSiteBytes: new Float64Array(),
    failure: null,
    codes: { filename: ['/tmp/cell.py'], qualifiedName: ['<module>'], firstLine: Int32Array.of(1), kind: ['python'] },
    sampling: null,
    degradations: [],
    consistent: true,
    mostUntouchedBytes: 0,
    jointSiteBytes: new Float64Array(0),
    ownBytes: 0,
    ...changes,
  };
}
