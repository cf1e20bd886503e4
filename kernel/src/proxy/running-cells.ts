/**
 * Which cells run, told from what the child publishes about itself, so that a message about its death reaches them. Only the two
 * small messages that start and end a cell are looked into; everything else passes by its topic.
 */
import { open, parseObject, type Header, type Signer } from './wire.js';

export class RunningCells {
  readonly #signer: Signer;
  /** Parent headers by the id of the request, in the order in which they began. */
  readonly #cells = new Map<string, Header>();

  constructor(signer: Signer) {
    this.#signer = signer;
  }

  /** The headers of the requests whose cells are running. */
  get parentHeaders(): readonly Header[] {
    return [...this.#cells.values()];
  }

  /** Takes notice of a message on the way from the child's iopub. */
  observe(frames: readonly Buffer[]): void {
    const topic = frames[0];
    if (topic === undefined || topic.length > 256) {
      return;
    }
    const begins = topic.toString('latin1').endsWith('.execute_input');
    if (!begins && !topic.toString('latin1').endsWith('.status')) {
      return;
    }
    const envelope = open(frames, this.#signer);
    const parent = envelope && parseObject(envelope.parentHeader);
    const id = parent?.['msg_id'];
    if (!envelope || !parent || typeof id !== 'string') {
      return;
    }
    if (begins) {
      this.#cells.set(id, parent);
    } else if (parseObject(envelope.content)?.['execution_state'] === 'idle') {
      this.#cells.delete(id);
    }
  }
}
