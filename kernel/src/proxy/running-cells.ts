/**
 * Which cells run, told from what passes through the proxy, so that a message about the kernel's death reaches them. Only requests and
 * the two small messages that start and end a cell are looked into; everything else passes by its topic.
 */
import type { LastCell } from '../sampled-cells.js';
import { open, parseObject, type Header, type Signer } from './wire.js';

/** Longer first frames of iopub messages are none of ipykernel's topics. */
const LONGEST_TOPIC_BYTES = 256;

/** A request to execute that has not ended. */
interface Request {
  readonly header: Header;
  readonly metadata: Header | null;
  /** What its execute_input told; null if it has not begun. */
  input: Header | null;
}

export class RunningCells {
  readonly #signer: Signer;
  /** By their ids, in the order of their arrival. */
  readonly #requested = new Map<string, Request>();

  constructor(signer: Signer) {
    this.#signer = signer;
  }

  /**
   * The headers of the requests whose cells are running. If the kernel died at once, so that the news of a cell's beginning was lost
   * with it, that is the first that was waiting.
   */
  get parentHeaders(): readonly Header[] {
    return this.#running.map(({ header }) => header);
  }

  /** What is known about the cell that has been running longest; null if none is. */
  get first(): LastCell | null {
    const [running] = this.#running;
    if (running === undefined) {
      return null;
    }
    const { header, metadata, input } = running;
    const cellId = metadata?.['cellId'];
    const executionCount = input?.['execution_count'];
    const code = input?.['code'];
    return {
      header,
      cellId: typeof cellId === 'string' ? cellId : null,
      executionCount: typeof executionCount === 'number' ? executionCount : null,
      code: typeof code === 'string' ? code : null,
    };
  }

  get #running(): readonly Request[] {
    const waiting = [...this.#requested.values()];
    const begun = waiting.filter(({ input }) => input !== null);
    return begun.length > 0 ? begun : waiting.slice(0, 1);
  }

  /** The header of a request to execute that has not ended, as its client wrote it. */
  headerOf(requestId: string): Header | undefined {
    return this.#requested.get(requestId)?.header;
  }

  /** Takes notice of a message on its way to the child's shell, if it is a request to execute; returns whether it is. */
  observeRequest(frames: readonly Buffer[]): boolean {
    const envelope = open(frames, this.#signer);
    const header = envelope && parseObject(envelope.header);
    if (envelope && header?.['msg_type'] === 'execute_request' && typeof header['msg_id'] === 'string') {
      this.#requested.set(header['msg_id'], { header, metadata: parseObject(envelope.metadata), input: null });
      return true;
    }
    return false;
  }

  /** Takes notice of a message on its way from the child's iopub. */
  observePublication(frames: readonly Buffer[]): void {
    const topic = frames[0];
    if (topic === undefined || topic.length > LONGEST_TOPIC_BYTES) {
      return;
    }
    const begins = topic.toString('latin1').endsWith('.execute_input');
    if (!begins && !topic.toString('latin1').endsWith('.status')) {
      return;
    }
    const envelope = open(frames, this.#signer);
    const id = envelope && parseObject(envelope.parentHeader)?.['msg_id'];
    if (!envelope || typeof id !== 'string') {
      return;
    }
    const request = this.#requested.get(id);
    if (begins && request !== undefined) {
      request.input = parseObject(envelope.content) ?? {};
    } else if (parseObject(envelope.content)?.['execution_state'] === 'idle') {
      this.#requested.delete(id);
    }
  }
}
