import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { open, parseObject, publication, Signer } from '../../src/proxy/wire.js';

const DELIMITER = Buffer.from('<IDS|MSG>');
const bytes = fc.uint8Array({ maxLength: 64 }).map((array) => Buffer.from(array));

describe('signing', () => {
  test('a signature is the HMAC of the concatenated frames', () => {
    const expected = createHmac('sha256', 'key').update('ab').digest('hex');
    expect(new Signer('key').sign([Buffer.from('a'), Buffer.from('b')])).toBe(expected);
  });

  test('an empty key means no signature', () => {
    const signer = new Signer('');
    expect(signer.sign([Buffer.from('a')])).toBe('');
    expect(signer.verify(Buffer.alloc(0), [Buffer.from('a')])).toBe(true);
  });

  test('any digest of OpenSSL can be asked for, others are refused', () => {
    expect(new Signer('key', 'hmac-sha512').sign([])).toHaveLength(128);
    expect(() => new Signer('key', 'hmac-rot13')).toThrow();
  });

  test('a signature belongs to its frames and its key', () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 5 }), fc.string({ minLength: 1 }), fc.string(), (frames, key, other) => {
        const signature = Buffer.from(new Signer(key).sign(frames));
        expect(new Signer(key).verify(signature, frames)).toBe(true);
        expect(new Signer(key).verify(signature, [...frames, Buffer.from('more')])).toBe(false);
        expect(new Signer(`${key}${other}!`).verify(signature, frames)).toBe(false);
        expect(new Signer(key).verify(signature.subarray(1), frames)).toBe(false);
      }),
    );
  });
});

describe('messages', () => {
  const signer = new Signer('key');

  test('a publication can be opened again', () => {
    const parent = { msg_id: 'request' };
    const frames = publication(signer, 'topic', 'stream', { name: 'stderr', text: 'ä\n' }, parent);
    const envelope = open(frames, signer);
    expect(envelope?.idents.map(String)).toEqual(['topic']);
    expect(envelope && parseObject(envelope.parentHeader)).toEqual(parent);
    expect(envelope && parseObject(envelope.content)).toEqual({ name: 'stderr', text: 'ä\n' });
    expect(envelope && parseObject(envelope.header)).toMatchObject({ msg_type: 'stream', version: '5.4' });
  });

  test('a publication without a topic begins with the delimiter', () => {
    expect(publication(signer, '', 'iopub_welcome', {})[0]).toEqual(DELIMITER);
  });

  test('a message of another key is not opened', () => {
    expect(open(publication(new Signer('other'), '', 'stream', {}), signer)).toBeNull();
  });

  test('a message whose frame was changed is not opened', () => {
    const frames = publication(signer, 'topic', 'stream', { text: 'a' });
    for (let frame = 2; frame < frames.length; frame++) {
      const changed = frames.map((content, index) => (index === frame ? Buffer.concat([content, DELIMITER]) : content));
      expect(open(changed, signer)).toBeNull();
    }
  });

  test('buffers behind the content are not signed and do no harm', () => {
    expect(open([...publication(signer, '', 'comm_msg', {}), Buffer.alloc(9)], signer)).not.toBeNull();
  });

  test('whatever frames come, opening them gives null or what was signed', () => {
    const frame = fc.oneof(
      bytes,
      fc.constant(DELIMITER),
      fc.constantFrom('{}', '[]', '').map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), (frames) => {
        expect(open(frames, signer)).toBeNull();
      }),
      { numRuns: 2000 },
    );
  });

  test('only JSON objects are objects', () => {
    for (const text of ['', '{', '[]', 'null', '1', '"a"', '\u0000']) {
      expect(parseObject(Buffer.from(text))).toBeNull();
    }
    expect(parseObject(Buffer.from('{"a": 1}'))).toEqual({ a: 1 });
  });
});
