/** What front ends are told about a cell that was sampled: see `schema/sampled-cell.ts`. */
import type { ControlRequest } from '../../../schema/control.js';
import { SAMPLED_CELL_VERSION, SAMPLED_CELLS, type SampledCell } from '../../../schema/sampled-cell.js';
import type { ReportOutput } from '../report-job.js';
import { publication, type Signer } from './wire.js';

/** A message for iopub. The process itself opens and closes the comm, and says nothing in it. */
export function sampledCellMessage(
  signer: Signer,
  { subject, parentHeader }: Extract<ControlRequest, { type: 'begin' }>,
  { bundle }: Pick<ReportOutput, 'bundle'>,
): Buffer[] {
  const cellId = (subject.kind === 'cell' ? subject.cellId : null) ?? '';
  const data = { version: SAMPLED_CELL_VERSION, cellId, bundle } satisfies SampledCell;
  return publication(signer, `comm-${SAMPLED_CELLS}`, 'comm_msg', { comm_id: SAMPLED_CELLS, data }, parentHeader ?? {});
}
