import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { largeReport } from '../fixtures/large-report.js';
import { parseReport, type Report, ReportError } from '../report.js';

const small: unknown = JSON.parse(readFileSync(new URL('../fixtures/small.json', import.meta.url), 'utf8'));

function changed(change: (report: Report) => void): unknown {
  const report = structuredClone(small) as Report;
  change(report);
  return report;
}

test('reports come back from JSON as they were', () => {
  for (const report of [parseReport(small), largeReport(5000), largeReport(1)]) {
    expect(parseReport(JSON.parse(JSON.stringify(report)))).toEqual(report);
  }
});

test('the large fixture has as many nodes as asked for, adds up, and is the same every time', () => {
  const report = largeReport(5000);
  expect(report.tree.parent).toHaveLength(5000);
  expect(report.tree.selfBytes.reduce((sum, bytes) => sum + bytes, 0)).toBe(report.peakBytes);
  expect(largeReport(5000)).toEqual(report);
});

describe('is refused, with a sentence for the reader', () => {
  test.each<[string, unknown, RegExp]>([
    ['a newer version', changed((report) => Object.assign(report, { version: 2 })), /version 2.*up to 1.*Update/],
    ['no report', 'hello', /not a readable Fil report/],
    ['nothing', null, /not a readable Fil report/],
    ['a missing column', changed((report) => Reflect.deleteProperty(report.tree, 'frame')), /tree\.frame/],
    ['columns of different lengths', changed((report) => report.tree.selfBytes.pop()), /damaged/],
    ['a child before its parent', changed((report) => (report.tree.parent[1] = 3)), /damaged/],
    ['a frame that is not in the table', changed((report) => (report.tree.frame[1] = 4)), /damaged/],
    [
      'no nodes',
      changed((report) => (report.tree = { parent: [], frame: [], totalBytes: [], selfBytes: [] })),
      /damaged/,
    ],
    ['negative bytes', changed((report) => (report.tree.selfBytes[1] = -1)), /tree\.selfBytes\.1/],
  ])('%s', (_, data, message) => {
    expect(() => parseReport(data)).toThrow(ReportError);
    expect(() => parseReport(data)).toThrow(message);
  });
});
