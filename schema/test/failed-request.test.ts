import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { requestPicture } from '../failed-request.js';
import { parseReport, type Report } from '../report.js';

const small = parseReport(JSON.parse(readFileSync(new URL('../fixtures/small.json', import.meta.url), 'utf8')));

/** The small report, with a request that failed at rows of its frame table. */
function failedAt(stack: readonly number[], bytes = 2 ** 50): Report {
  const figures = { limitBytes: 4e9, availableBytes: 3e9, headroomBytes: 1e8, residentBytes: 1e8, swappedBytes: 0 };
  return parseReport({
    ...small,
    outOfMemory: {
      rule: 'failed-allocation',
      action: 'raised',
      limitOf: 'machine',
      trackedBytes: small.peakBytes,
      ...figures,
      request: { bytes, stack },
    },
  });
}

const ownRows = small.frames.kind.flatMap((kind, row) => (kind === 'python' ? [row] : []));
const [first = 0, second = 0] = ownRows;

describe('the request that failed', () => {
  test('is drawn as its call stack, with what was asked for, and what was held stays as it is', () => {
    const report = failedAt([first, second]);
    const picture = requestPicture(report);
    expect(picture?.title).toBe('Requested, but never held: 1.0 PiB');
    expect(picture?.boxes).toHaveLength(2);
    expect(picture?.boxes.filter(({ asked }) => asked)).toHaveLength(1);
    expect(picture?.boxes[0]?.place).toContain(`:${String(report.frames.line[first])}`);
    expect(report.tree.totalBytes[0]).toBe(report.peakBytes);
  });

  test('shows the innermost frames of a deep stack, and says how many are above', () => {
    const boxes = requestPicture(failedAt(Array.from({ length: 50 }, () => first)))?.boxes ?? [];
    expect(boxes).toHaveLength(9);
    expect(boxes[0]).toEqual({ place: '42 callers above', sourceLine: '', asked: false });
    expect(boxes.at(-1)?.asked).toBe(true);
  });

  test('is not there where none failed, or nobody knows where', () => {
    expect(requestPicture(small)).toBeNull();
    expect(requestPicture(failedAt([]))).toBeNull();
  });
});
