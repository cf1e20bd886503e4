/** The comms by which front ends are told about sampled cells, and ask for their reports: see `schema/sampled-cell.ts`. */
import { ReportWish, SAMPLED_CELLS, type SampledNews } from '../../../schema/sampled-cell.js';
import type { SampledCells } from '../sampled-cells.js';
import { type Header, open, parseObject, publication, type Signer } from './wire.js';

/** A message for iopub. The process itself counts who has a comm open, and says nothing in it. */
export function sampledCellMessage(signer: Signer, data: SampledNews, parentHeader: Header | null): Buffer[] {
  return publication(signer, `comm-${SAMPLED_CELLS}`, 'comm_msg', { comm_id: SAMPLED_CELLS, data }, parentHeader ?? {});
}

/**
 * Takes notice of a message that goes to the process by such a comm. It is answered here, as the process may be busy.
 *
 * @param frames not verified.
 */
export function observeComm(
  frames: readonly Buffer[],
  signer: Signer,
  sampled: Pick<SampledCells, 'repeat' | 'callRoll' | 'show'>,
): void {
  const envelope = open(frames, signer);
  const content = envelope && parseObject(envelope.content);
  const id = content?.['comm_id'];
  if (!envelope || typeof id !== 'string' || !id.startsWith(SAMPLED_CELLS)) {
    return;
  }
  const type = parseObject(envelope.header)?.['msg_type'];
  if (type === 'comm_open') {
    sampled.repeat();
  } else if (type === 'comm_close') {
    sampled.callRoll();
  } else if (type === 'comm_msg') {
    const wish = ReportWish.safeParse(content?.['data']);
    if (wish.success) {
      void sampled.show(wish.data.report);
    }
  }
}
