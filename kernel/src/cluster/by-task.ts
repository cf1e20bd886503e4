/** Call stacks of a worker by its tasks: what called a task is the engine's machinery, the same for all of them. */
import { at } from '../../../schema/columns.js';
import type { Snapshot } from '../report/snapshot.js';

/** The file of the code objects by which `filprofiler/workers.py` names tasks. */
const TASK_FILE = '<fil task>';
const NO_CODE = 0xffffffff;
const OUTSIDE = 1;

/**
 * The columns with tasks as the root's callees, and below one more, a task without a name, what was allocated outside of tasks.
 *
 * @param snapshot of a worker.
 */
export function byTask(snapshot: Snapshot): Snapshot {
  const { codes } = snapshot;
  const kind = codes.kind.map((each, row) => (at(codes.filename, row) === TASK_FILE ? 'task' : each));
  const outsideCode = kind.length;
  const sites = snapshot.parent.length;
  const parent = new Uint32Array(sites + 1);
  const code = new Uint32Array(sites + 1).fill(NO_CODE);
  const line = new Int32Array(sites + 1);
  code[OUTSIDE] = outsideCode;
  for (let site = 1; site < sites; site++) {
    const row = site + 1;
    const own = at(snapshot.code, site);
    const isTask = kind[own] === 'task';
    const above = at(snapshot.parent, site);
    code[row] = own;
    line[row] = isTask ? 0 : at(snapshot.line, site);
    parent[row] = isTask ? 0 : above === 0 ? OUTSIDE : above + 1;
  }
  return {
    ...snapshot,
    parent,
    code,
    line,
    peakSiteBytes: shifted(snapshot.peakSiteBytes),
    currentSiteBytes: shifted(snapshot.currentSiteBytes),
    codes: {
      filename: [...codes.filename, ''].map((name, row) => (kind[row] === 'task' ? '' : name)),
      qualifiedName: [...codes.qualifiedName, ''],
      firstLine: Int32Array.from([...codes.firstLine, 0]),
      kind: [...kind, 'task'],
    },
    failure: null,
  };
}

/** The root's own bytes have no stack either, so they were allocated outside of tasks. */
function shifted(column: Float64Array): Float64Array {
  const to = new Float64Array(column.length + 1);
  to.set(column.subarray(1), 2);
  to[OUTSIDE] = column[0] ?? 0;
  return to;
}
