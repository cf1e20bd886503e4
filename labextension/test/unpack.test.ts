import { readFileSync } from 'node:fs';
import { gzipSync, strToU8 } from 'fflate';
import { describe, expect, test } from 'vitest';
import { largeReport } from '../../schema/fixtures/large-report.js';
import { parseReport, ReportError } from '../../schema/report.js';
import { unpackReport } from '../src/view/unpack.js';

const small = parseReport(
  JSON.parse(readFileSync(new URL('../../schema/fixtures/small.json', import.meta.url), 'utf8')),
);

function envelope(packed: Uint8Array, changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    version: 1,
    encoding: 'gzip+base64',
    peakBytes: small.peakBytes,
    data: Buffer.from(packed).toString('base64'),
    ...changes,
  };
}

const packed = gzipSync(strToU8(JSON.stringify(small)));

test('a report comes out as it went in', () => {
  expect(unpackReport(envelope(packed))).toEqual(small);
  const large = largeReport(5000);
  expect(unpackReport(envelope(gzipSync(strToU8(JSON.stringify(large)))))).toEqual(large);
});

describe('what cannot be read is refused with a sentence', () => {
  test.each<[string, unknown, RegExp]>([
    ['a newer envelope', { version: 9, shape: 'unknown' }, /version 9.*up to 1/],
    ['a newer report', envelope(gzipSync(strToU8(JSON.stringify({ ...small, version: 7 })))), /version 7/],
    ['something else', [1, 2], /envelope is damaged/],
    ['nothing', undefined, /envelope is damaged/],
    ['no base64', envelope(packed, { data: '*' }), /not base64/],
    ['no data', envelope(packed, { data: '' }), /cut off|not JSON|can't be unpacked/],
    ['no gzip', envelope(strToU8('hello, this is no gzip')), /can't be unpacked/],
    ['data that was cut off', envelope(packed.subarray(0, packed.length / 2)), /cut off|can't be unpacked/],
    ['no JSON', envelope(gzipSync(strToU8('{"version": 1,'))), /not JSON/],
    ['a bomb', envelope(gzipSync(new Uint8Array(100 * 2 ** 20))), /larger than 64 MiB/],
  ])('%s', (_, data, message) => {
    expect(() => unpackReport(data)).toThrow(ReportError);
    expect(() => unpackReport(data)).toThrow(message);
  });
});
