/** What anybody may send: at least 100,000 inputs neither crash nor confuse what takes messages apart. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ControlReply, type ControlRequest } from '../../../schema/control.js';
import { answer, Order } from '../../src/control.js';
import { RunningCells } from '../../src/proxy/running-cells.js';
import { open, parseObject, publication, Signer } from '../../src/proxy/wire.js';

const signer = new Signer('key');
const stranger = new Signer('other');
const DELIMITER = Buffer.from('<IDS|MSG>');
const TIMEOUT = 300_000;

const garbage = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const json = fc.oneof(
  fc.json({ maxDepth: 3 }),
  fc.constantFrom('{', '[]', 'null', '{"msg_id":1}', '{"msg_type":"execute_request","msg_id":"a"}', '{"__proto__":1}'),
);
const frame = fc.oneof(
  garbage,
  fc.constant(DELIMITER),
  json.map((text) => Buffer.from(text)),
  fc.constant(Buffer.from('kernel.1.status')),
);
const frames = fc.array(frame, { maxLength: 12 });
/** A message that is right but for what is done to it: frames lost, doubled, exchanged, cut. */
const damaged = fc
  .tuple(json, json, fc.boolean(), fc.nat(11), fc.constantFrom('none', 'drop', 'double', 'cut', 'swap', 'flip'))
  .map(([parent, content, isOurs, place, damage]) => {
    const signed = [Buffer.from('{"msg_id":"a","msg_type":"execute_request"}'), Buffer.from(parent), Buffer.from('{}')];
    signed.push(Buffer.from(content));
    const signature = Buffer.from((isOurs ? signer : stranger).sign(signed));
    const message = [Buffer.from('kernel.1.execute_input'), DELIMITER, signature, ...signed];
    const at = place % message.length;
    const victim = message[at] ?? Buffer.alloc(0);
    switch (damage) {
      case 'drop':
        return { message: message.toSpliced(at, 1), isWhole: false };
      case 'double':
        return { message: message.toSpliced(at, 0, victim), isWhole: false };
      case 'cut':
        return { message: message.with(at, victim.subarray(0, victim.length >> 1)), isWhole: false };
      case 'swap':
        return { message: message.with(at, message[0] ?? victim), isWhole: false };
      case 'flip':
        return { message: message.with(at, Buffer.from(victim.map((byte) => byte ^ 1))), isWhole: false };
      default:
        return { message, isWhole: isOurs };
    }
  });

test(
  'messages of any frames: only what is signed is opened',
  () => {
    fc.assert(
      fc.property(frames, (message) => {
        const cells = new RunningCells(signer);
        cells.observeRequest(message);
        cells.observePublication(message);
        expect(cells.parentHeaders).toEqual([]);
        expect(open(message, signer)).toBeNull();
        for (const each of message) {
          parseObject(each);
        }
      }),
      { numRuns: 40_000 },
    );
  },
  TIMEOUT,
);

test(
  'right messages with one damage: opened if what is signed is whole',
  () => {
    fc.assert(
      fc.property(damaged, ({ message, isWhole }) => {
        const cells = new RunningCells(signer);
        cells.observeRequest(message);
        cells.observePublication(message);
        const envelope = open(message, signer);
        if (isWhole) {
          expect(envelope).not.toBeNull();
        }
        if (envelope !== null) {
          const { header, parentHeader, metadata, content } = envelope;
          const signature = message[message.findIndex((each) => each.equals(DELIMITER)) + 1];
          expect(String(signature)).toBe(signer.sign([header, parentHeader, metadata, content]));
        } else {
          expect(cells.parentHeaders).toEqual([]);
        }
      }),
      { numRuns: 30_000 },
    );
  },
  TIMEOUT,
);

const request = fc.oneof(
  json,
  fc
    .record(
      {
        type: fc.constantFrom('hello', 'begin', 'cancel', 'end', 'explode'),
        id: fc.oneof(fc.integer(), fc.double(), fc.string()),
        version: fc.oneof(fc.integer(), fc.string()),
        pid: fc.anything(),
        cells: fc.anything(),
        subject: fc.anything(),
        outcome: fc.constantFrom('completed', 'error', 'no'),
      },
      { requiredKeys: [] },
    )
    .map((object) => JSON.stringify(object, (_key, value: unknown) => (typeof value === 'bigint' ? null : value))),
);

test(
  'control requests of any body and signature: answered in the protocol’s words, or not at all',
  async () => {
    let handled = 0;
    const handle = (known: ControlRequest) => {
      handled += 1;
      return { type: 'ok' as const, id: known.id };
    };
    await fc.assert(
      fc.asyncProperty(request, fc.constantFrom('ours', 'theirs', 'none', 'long'), frames, async (text, by, more) => {
        const body = Buffer.from(text);
        const signature = { ours: signer.sign([body]), theirs: stranger.sign([body]), none: '', long: 'a'.repeat(200) };
        const message = [Buffer.from(signature[by]), body, ...(by === 'long' ? more : [])];
        const reply = await answer(message, signer, handle);
        if (by === 'ours') {
          const [proof, said] = reply ?? [];
          expect(said && proof && signer.verify(proof, [said])).toBe(true);
          ControlReply.parse(JSON.parse(String(said)));
        } else {
          expect(reply).toBeNull();
        }
      }),
      { numRuns: 30_000 },
    );
    expect(handled).toBeGreaterThan(0);
  },
  TIMEOUT,
);

test('a message of many large frames is refused without copying them', () => {
  const huge = Buffer.alloc(64 * 1024 * 1024);
  const before = process.memoryUsage().rss;
  const message = publication(stranger, 'topic', 'stream', {});
  for (let i = 0; i < 20; i += 1) {
    expect(open([...message, huge, huge], signer)).toBeNull();
  }
  expect(process.memoryUsage().rss - before).toBeLessThan(2 * huge.length);
});

const hello = (id: number, pid = 1): ControlRequest => ({
  type: 'hello',
  id,
  version: 1,
  pid,
  pythonVersion: '3.12.1',
  workingDirectory: '/',
});

test('a request that is made again is refused, over its own connection and over another', () => {
  const order = new Order();
  const end: ControlRequest = { type: 'end', id: 2, outcome: 'completed' };
  expect(order.refusal('a', hello(1))).toBeNull();
  expect(order.refusal('a', end)).toBeNull();
  expect(order.refusal('a', end)).toContain('made before');
  expect(order.refusal('a', { ...end, id: 1 })).toContain('made before');
  expect(order.refusal('b', hello(1))).toContain('made before');
  expect(order.refusal('b', { ...end, id: 3 })).toContain('begins with a hello');
  expect(order.refusal('a', { ...end, id: 3 })).toBeNull();
});

test('another process, and one that connects anew, have a count of their own', () => {
  const order = new Order();
  expect(order.refusal('a', hello(1))).toBeNull();
  expect(order.refusal('b', hello(1, 2))).toBeNull();
  expect(order.refusal('c', hello(5))).toBeNull();
});
