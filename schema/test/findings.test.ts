import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { findings } from '../findings.js';
import { largeReport } from '../fixtures/large-report.js';
import { parseReport, type Report } from '../report.js';

function fixture(name: string): Report {
  return parseReport(JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8')));
}

test('a chained expression whose results live at once is named, with each of them', () => {
  expect(findings(fixture('pandas'))).toEqual([
    {
      code: 'several-results-at-once',
      statement:
        'At the peak, line 3 held what 3 of its calls made at the same time: DataFrame.__getitem__ 410.0 MiB, NDFrame.copy 410.0 MiB, DataFrame.sort_values 410.0 MiB.',
      evidence: 'Evidence: their call stacks are all live at the peak.',
      bytes: 3 * 410 * 2 ** 20,
    },
  ]);
});

test('one result at a time is none', () => {
  expect(findings(fixture('small'))).toEqual([]);
  const report = fixture('pandas');
  report.frames.sourceLine = report.frames.sourceLine.map((text) =>
    text.startsWith('late') ? 'late = merged.sort_values("dep_delay")' : text,
  );
  expect(findings(report)).toEqual([]);
});

test('names that are no words of a program are looked for nowhere', () => {
  const report = fixture('pandas');
  report.frames.function = report.frames.function.map((name) => `${name}(*`);
  expect(findings(report)).toEqual([]);
});

test('5,000 nodes take less than 50 ms', () => {
  const report = largeReport(5000);
  const began = performance.now();
  findings(report);
  expect(performance.now() - began).toBeLessThan(50);
});
