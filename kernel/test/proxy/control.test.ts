import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ControlReply, type ControlRequest } from '../../../schema/control.js';
import { answer } from '../../src/control.js';
import { Signer } from '../../src/proxy/wire.js';

const signer = new Signer('key');
const END: ControlRequest = { type: 'end', id: 7, outcome: 'completed' };

function signed(body: unknown, by = signer): Buffer[] {
  const frame = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return [Buffer.from(by.sign([frame])), frame];
}

async function ask(
  frames: readonly Buffer[],
  handle = (request: ControlRequest) => ({ type: 'ok' as const, id: request.id }),
) {
  const reply = await answer(frames, signer, handle);
  if (reply === null) {
    return null;
  }
  const [signature, body] = reply;
  expect(signature && body && signer.verify(signature, [body])).toBe(true);
  return ControlReply.parse(JSON.parse(String(body)));
}

describe('requests', () => {
  test('one that is signed and known is answered under its id', async () => {
    expect(await ask(signed(END))).toEqual({ type: 'ok', id: 7 });
  });

  test('one that is not signed with this kernel’s key gets no answer', async () => {
    expect(await ask(signed(END, new Signer('other')))).toBeNull();
    expect(await ask([Buffer.alloc(0), ...signed(END).slice(1)])).toBeNull();
  });

  test('one that is unknown is refused under its id', async () => {
    expect(await ask(signed({ type: 'explode', id: 3 }))).toMatchObject({ type: 'refused', id: 3 });
    expect(await ask(signed({ ...END, outcome: 'exploded' }))).toMatchObject({ type: 'refused', id: 7 });
    expect(await ask(signed('no JSON'))).toMatchObject({ type: 'refused', id: 0 });
  });

  test('one that fails is refused with the reason', async () => {
    const fail = () => {
      throw new Error('the segment is corrupt');
    };
    expect(await ask(signed(END), fail)).toEqual({ type: 'refused', id: 7, reason: 'the segment is corrupt' });
  });

  test('whatever frames come, there is no answer to what is not signed', async () => {
    const frames = fc.array(
      fc.uint8Array({ maxLength: 80 }).map((array) => Buffer.from(array)),
      { maxLength: 4 },
    );
    await fc.assert(
      fc.asyncProperty(frames, async (list) => {
        expect(await ask(list)).toBeNull();
      }),
      { numRuns: 5000 },
    );
  });

  test('whatever JSON is signed, there is an answer that fits the schema', async () => {
    const type = fc.constantFrom('hello', 'begin', 'end', 'other');
    const body = fc.oneof(
      fc.jsonValue(),
      fc.record(
        {
          type,
          id: fc.oneof(fc.integer(), fc.double()),
          version: fc.jsonValue(),
          cells: fc.jsonValue(),
          subject: fc.jsonValue(),
        },
        { requiredKeys: [] },
      ),
    );
    await fc.assert(
      fc.asyncProperty(body, async (value) => {
        expect(await ask(signed(value))).not.toBeNull();
      }),
      { numRuns: 5000 },
    );
  });
});
