/**
 * Jupyter messages as ZeroMQ frames: `[idents..., "<IDS|MSG>", signature, header, parent header, metadata, content, buffers...]`.
 * Bytes from outside are verified before anything parses them.
 */
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';

const DELIMITER = Buffer.from('<IDS|MSG>');
const PROTOCOL_VERSION = '5.4';

export type Header = Readonly<Record<string, unknown>>;

/** HMAC over frames; an empty key stands for "not signed", as in Jupyter. */
export class Signer {
  readonly #algorithm: string;
  readonly #key: string;

  /**
   * @param scheme `hmac-sha256` or another digest of OpenSSL.
   * @throws {Error} if there is no such digest.
   */
  constructor(key: string, scheme = 'hmac-sha256') {
    this.#algorithm = scheme.replace(/^hmac-/, '');
    this.#key = key;
    createHmac(this.#algorithm, key);
  }

  /** Lower-case hexadecimal. */
  sign(frames: readonly Buffer[]): string {
    if (this.#key === '') {
      return '';
    }
    const hmac = createHmac(this.#algorithm, this.#key);
    for (const frame of frames) {
      hmac.update(frame);
    }
    return hmac.digest('hex');
  }

  /** Whether the signature is that of the frames, in a time that says nothing about where it differs. */
  verify(signature: Buffer, frames: readonly Buffer[]): boolean {
    const expected = Buffer.from(this.sign(frames));
    return signature.length === expected.length && timingSafeEqual(signature, expected);
  }
}

/** The signed part of a message, not yet parsed. */
export interface Envelope {
  readonly idents: readonly Buffer[];
  readonly header: Buffer;
  readonly parentHeader: Buffer;
  readonly metadata: Buffer;
  readonly content: Buffer;
}

/** Takes a message apart; null if it is none or its signature is wrong. */
export function open(frames: readonly Buffer[], signer: Signer): Envelope | null {
  const start = frames.findIndex((frame) => frame.equals(DELIMITER));
  if (start < 0) {
    return null;
  }
  const [signature, header, parentHeader, metadata, content] = frames.slice(start + 1, start + 6);
  if (!signature || !header || !parentHeader || !metadata || !content) {
    return null;
  }
  return signer.verify(signature, [header, parentHeader, metadata, content])
    ? { idents: frames.slice(0, start), header, parentHeader, metadata, content }
    : null;
}

/** A JSON object of a verified frame; null if it is none. */
export function parseObject(frame: Buffer): Header | null {
  try {
    const value: unknown = JSON.parse(frame.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Header) : null;
  } catch {
    return null;
  }
}

const session = randomUUID();

/** A message of the proxy's own, signed, for iopub: the first frame is its topic. */
export function publication(
  signer: Signer,
  topic: string,
  type: string,
  content: unknown,
  parentHeader: Header = {},
): Buffer[] {
  const header = {
    msg_id: randomUUID(),
    msg_type: type,
    username: 'filprofiler',
    session,
    date: new Date().toISOString(),
    version: PROTOCOL_VERSION,
  };
  const signed = [header, parentHeader, {}, content].map((part) => Buffer.from(JSON.stringify(part)));
  const body = [DELIMITER, Buffer.from(signer.sign(signed)), ...signed];
  return topic === '' ? body : [Buffer.from(topic), ...body];
}
