/** What the proxy publishes for a child that can't speak any more. */
import type { OutOfMemoryCause } from '../../../schema/out-of-memory.js';
import { reasonOf } from '../failure.js';
import type { Session } from '../session.js';
import type { ExitStatus } from './child.js';
import { lastWords, outcomeOf } from './last-words.js';
import type { RunningCells } from './running-cells.js';
import { type Header, publication, type Signer } from './wire.js';

/**
 * For each cell that was running: a line on stderr about how the kernel died. For a profiled one, its report too, which is also
 * written where the profile was begun to write to.
 *
 * @returns messages for iopub; none if no cell was running, as when the kernel was shut down.
 */
export async function lastMessages(
  status: ExitStatus,
  session: Session,
  cells: RunningCells,
  signer: Signer,
  outOfMemory?: OutOfMemoryCause,
): Promise<Buffer[][]> {
  const profiled = session.running?.parentHeader ?? null;
  const headers = new Map<unknown, Header>();
  // The proxy has seen the headers as the client wrote them; the process's own of a profiled cell is the same in other words.
  for (const header of [...(profiled === null ? [] : [profiled]), ...cells.parentHeaders]) {
    headers.set(header['msg_id'], header);
  }
  const messages = [...headers].map(([id, header]) =>
    stderr(signer, lastWords(status, session.running !== null && id === profiled?.['msg_id'], outOfMemory), header),
  );
  if (session.running !== null) {
    messages.push(...(await report(status, session, signer, headers.get(profiled?.['msg_id']) ?? {}, outOfMemory)));
  }
  return messages;
}

/** A line on stderr of each cell that is running. */
export function toRunningCells(text: string, cells: RunningCells, signer: Signer): Buffer[][] {
  return cells.parentHeaders.map((header) => stderr(signer, text, header));
}

async function report(
  status: ExitStatus,
  session: Session,
  signer: Signer,
  parent: Header,
  outOfMemory: OutOfMemoryCause | undefined,
): Promise<Buffer[][]> {
  try {
    const { bundle: data, files, filesProblem } = await session.end(outcomeOf(status), undefined, outOfMemory);
    const shown = publication(signer, 'display_data', 'display_data', { data, metadata: {}, transient: {} }, parent);
    if (filesProblem !== null) {
      return [shown, stderr(signer, `Fil: ${filesProblem}.\n`, parent)];
    }
    return files.length === 0
      ? [shown]
      : [shown, stderr(signer, `The report is also in ${files.join(', ')}\n`, parent)];
  } catch (error) {
    return [stderr(signer, `Fil could not make its report: ${reasonOf(error)}\n`, parent)];
  }
}

function stderr(signer: Signer, text: string, parent: Header): Buffer[] {
  return publication(signer, 'stream.stderr', 'stream', { name: 'stderr', text }, parent);
}
