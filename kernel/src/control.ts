/**
 * The control endpoint: where the user's process asks for tracking to begin and end. A request is `[HMAC, body]`; it is verified first,
 * then parsed, then trusted. What is not signed with this kernel's key gets no answer.
 */
import { Router } from 'zeromq';
import { ControlRequest, type ControlReply } from '../../schema/control.js';
import { reasonOf } from './failure.js';
import { Signer } from './proxy/wire.js';

export type ControlHandler = (request: ControlRequest) => ControlReply | Promise<ControlReply>;

/** Far above any request: the sources of all cells of a notebook. */
const LONGEST_REQUEST_BYTES = 64 * 1024 * 1024;

/**
 * The answer to the frames of a request; null if they deserve none.
 *
 * @param frames without the sender's identity.
 */
export async function answer(
  frames: readonly Buffer[],
  signer: Signer,
  handle: ControlHandler,
): Promise<Buffer[] | null> {
  const [signature, body] = frames;
  if (frames.length !== 2 || !signature || !body || !signer.verify(signature, [body])) {
    return null;
  }
  const reply = Buffer.from(JSON.stringify(await replyTo(body, handle)));
  return [Buffer.from(signer.sign([reply])), reply];
}

async function replyTo(body: Buffer, handle: ControlHandler): Promise<ControlReply> {
  let data: unknown;
  try {
    data = JSON.parse(body.toString('utf8'));
  } catch (error) {
    return { type: 'refused', id: 0, reason: `Fil got a request that is not JSON: ${reasonOf(error)}.` };
  }
  const request = ControlRequest.safeParse(data);
  if (!request.success) {
    const issue = request.error.issues[0];
    const where = issue === undefined ? '' : ` (${issue.path.join('.') || 'at the top'}: ${issue.message})`;
    return {
      type: 'refused',
      id: idOf(data),
      reason: `Fil's kernel does not know this request${where}. Restart the kernel.`,
    };
  }
  try {
    return await handle(request.data);
  } catch (error) {
    return { type: 'refused', id: request.data.id, reason: reasonOf(error) };
  }
}

function idOf(data: unknown): number {
  const id = typeof data === 'object' && data !== null && 'id' in data ? data.id : null;
  return typeof id === 'number' && Number.isSafeInteger(id) && id >= 0 ? id : 0;
}

/**
 * Refuses what was said before: each connection greets first, with a greeting of its own, and counts its requests upwards. So whoever
 * has overheard signed requests can't say them again.
 */
export class Order {
  /** Greetings that were accepted. */
  readonly #greetings = new Set<string>();
  /** Id of each connection's latest request. */
  readonly #latest = new Map<string, number>();

  /**
   * Why a request is not to be handled; null if it is.
   *
   * @param connection that it came over, as the socket names it.
   */
  refusal(connection: string, request: ControlRequest): string | null {
    const latest = this.#latest.get(connection);
    if (request.type === 'hello') {
      const greeting = JSON.stringify(request);
      if (this.#greetings.has(greeting)) {
        return REPEATED;
      }
      this.#greetings.add(greeting);
    } else if (latest === undefined) {
      return "Fil's kernel does not know who asks: a connection begins with a hello.";
    }
    if (latest !== undefined && request.id <= latest) {
      return REPEATED;
    }
    this.#latest.set(connection, request.id);
    return null;
  }
}

const REPEATED = 'Fil got a request that was made before, which it does not answer twice.';

export class ControlEndpoint {
  readonly #socket: Router;

  private constructor(socket: Router) {
    this.#socket = socket;
  }

  /** Opens the endpoint and serves it, one request after the other, until it is closed. */
  static async open(address: string, key: string, handle: ControlHandler): Promise<ControlEndpoint> {
    const socket = new Router({ linger: 0, maxMessageSize: LONGEST_REQUEST_BYTES });
    await socket.bind(address);
    const endpoint = new ControlEndpoint(socket);
    void endpoint.#serve(new Signer(key), handle);
    return endpoint;
  }

  close(): void {
    this.#socket.close();
  }

  async #serve(signer: Signer, handle: ControlHandler): Promise<void> {
    const order = new Order();
    for await (const [sender, ...frames] of this.#socket) {
      if (sender === undefined) {
        continue;
      }
      const reply = await answer(frames, signer, (request) => {
        const reason = order.refusal(sender.toString('latin1'), request);
        return reason === null ? handle(request) : { type: 'refused', id: request.id, reason };
      });
      if (reply !== null && !this.#socket.closed) {
        await this.#socket.send([sender, ...reply]);
      }
    }
  }
}
