/**
 * Which cells run, told from what passes through the proxy, so that a message about the kernel's death reaches them. Only requests and
 * the two small messages that start and end a cell are looked into; everything else passes by its topic.
 */
import { open, parseObject, type Header, type Signer } from './wire.js';

/** Longer first frames of iopub messages are none of ipykernel's topics. */
const LONGEST_TOPIC_BYTES = 256;

export class RunningCells {
  readonly #signer: Signer;
  /** Headers of requests to execute that have not ended, by their ids, in the order of their arrival. */
  readonly #requested = new Map<string, Header>();
  /** Ids of those that have begun. */
  readonly #begun = new Set<string>();

  constructor(signer: Signer) {
    this.#signer = signer;
  }

  /**
   * The headers of the requests whose cells are running. If the kernel died at once, so that the news of a cell's beginning was lost
   * with it, that is the first that was waiting.
   */
  get parentHeaders(): readonly Header[] {
    const waiting = [...this.#requested];
    const begun = waiting.filter(([id]) => this.#begun.has(id));
    return (begun.length > 0 ? begun : waiting.slice(0, 1)).map(([, header]) => header);
  }

  /** The header of a request to execute that has not ended, as its client wrote it. */
  headerOf(requestId: string): Header | undefined {
    return this.#requested.get(requestId);
  }

  /** Takes notice of a message on its way to the child's shell. */
  observeRequest(frames: readonly Buffer[]): void {
    const envelope = open(frames, this.#signer);
    const header = envelope && parseObject(envelope.header);
    if (header?.['msg_type'] === 'execute_request' && typeof header['msg_id'] === 'string') {
      this.#requested.set(header['msg_id'], header);
    }
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
    if (begins) {
      this.#begun.add(id);
    } else if (parseObject(envelope.content)?.['execution_state'] === 'idle') {
      this.#requested.delete(id);
      this.#begun.delete(id);
    }
  }
}
