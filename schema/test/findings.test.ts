import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Finding, findings } from '../findings.js';
import { largeReport } from '../fixtures/large-report.js';
import { sampledReport } from '../fixtures/sampled-report.js';
import type { Clue } from '../observed.js';
import { parseReport, type Report } from '../report.js';

function fixture(name: string): Report {
  return parseReport(JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8')));
}

const MIB = 2 ** 20;

function codes(report: Report): string[] {
  return findings(report).map(({ code }) => code);
}

/** The fixture's report with other clues about it. */
function withClues(...clues: Clue[]): Report {
  const report = fixture('pandas');
  return { ...report, observed: { variables: report.observed?.variables ?? [], clues } };
}

test('a chained expression whose results live at once is named, with each of them', () => {
  expect(findings(withClues())).toEqual([
    {
      code: 'several-results-at-once',
      statement:
        'At the peak, line 3 held what 3 of its calls made at the same time: DataFrame.__getitem__ 410.0 MiB, NDFrame.copy 410.0 MiB, DataFrame.sort_values 410.0 MiB.',
      advice: 'Each step of an expression keeps the one before. Choose rows and columns in the first one.',
      evidence: 'Evidence: their call stacks are all live at the peak.',
      bytes: 3 * 410 * MIB,
    },
  ]);
});

test('of a sampled report each part has its interval', () => {
  const [finding] = findings(sampledReport(withClues()));
  expect(finding?.statement).toMatch(
    /: DataFrame\.__getitem__ 410\.0 MiB \(± [\d.]+ %\), NDFrame\.copy 410\.0 MiB \(± [\d.]+ %\), DataFrame\.sort_values /,
  );
});

test('of a copy that only the next call reads is said what it costs', () => {
  expect(findings(fixture('pandas'))).toMatchObject([
    {
      code: 'needless-copy',
      advice: 'Without .copy() there would be 410.0 MiB less at this moment: sort_values makes a table of its own.',
      evidence: 'Evidence: their call stacks are all live at the peak, and nobody else can see the copy.',
    },
  ]);
});

test('a table that a loop makes anew each time is named, if its line was alive at the peak', () => {
  const clue = {
    kind: 'grown-in-loop',
    cell: 7,
    firstLine: 2,
    lastLine: 2,
    loopLine: 1,
    name: 'merged',
    call: 'concat',
  } as const;
  expect(findings(withClues(clue))).toContainEqual({
    code: 'grown-in-loop',
    statement:
      'Each round of the loop at line 1 makes all of merged anew: its concat held 704.0 MiB at the peak, 36 %.',
    advice: 'Collect the parts in a list, and join them once after the loop.',
    evidence: 'Evidence: line 2 joins merged to itself within the loop, and its call stack is live at the peak.',
    bytes: 704 * MIB,
  });
  expect(codes(withClues({ ...clue, firstLine: 4, lastLine: 4 }))).not.toContain('grown-in-loop');
  expect(codes(withClues({ ...clue, cell: 6 }))).not.toContain('grown-in-loop');
});

test('columns of objects are named with what categories would take', () => {
  const column = { name: 'origin', bytes: 300 * MIB, distinctCount: 3, categoryBytes: 5 * MIB };
  const other = { name: 'note', bytes: 100 * MIB, distinctCount: null, categoryBytes: null };
  const clue: Clue = {
    kind: 'object-columns',
    names: ['merged'],
    rows: 5e6,
    bytes: 400 * MIB,
    columnCount: 2,
    columns: [column, other],
  };
  expect(findings(withClues(clue))).toContainEqual({
    code: 'object-columns',
    statement: 'merged keeps 400.0 MiB as Python objects, in 2 columns: origin 300.0 MiB, note 100.0 MiB.',
    advice: 'As categories, origin (3 different) would take 295.0 MiB less.',
    evidence: 'Evidence: types and values of its 5,000,000 rows at the end of the cell.',
    bytes: 400 * MIB,
  });
  const unlike = { ...clue, columns: [{ ...column, categoryBytes: 200 * MIB }, other] };
  expect(findings(withClues(unlike)).find(({ code }) => code === 'object-columns')?.advice).not.toContain(
    'categories, ',
  );
});

test('columns of float64 are named, and whether float32 would hold the same values', () => {
  const columns = ['a', 'b', 'c', 'd', 'e'];
  const clue: Clue = {
    kind: 'float64-columns',
    names: ['merged'],
    rows: 1e7,
    bytes: 400 * MIB,
    columnCount: 5,
    columns,
    exactColumnCount: 2,
    exactBytes: 160 * MIB,
  };
  const finding = (of: Clue): Finding | undefined =>
    findings(withClues(of)).find(({ code }) => code === 'float64-columns');
  expect(finding(clue)).toMatchObject({
    statement: 'merged keeps 400.0 MiB as float64, in 5 columns: a, b, c and 2 more.',
    advice: 'All values of 2 of them are the same as float32, which takes half: 80.0 MiB less.',
  });
  expect(finding({ ...clue, exactColumnCount: 0, exactBytes: 0 })?.advice).toBe('float32 takes half. It has 7 digits.');
  expect(finding({ ...clue, bytes: 20 * MIB })).toBe(undefined);
});

test('a displayed result that only the notebook keeps is named', () => {
  const report = fixture('pandas');
  const result = { names: ['Out[7]'], type: 'DataFrame', bytes: 410 * MIB, isWhole: true, cell: 7, line: 0 };
  const observed = (...names: string[]): Report => ({
    ...report,
    observed: { variables: [{ ...result, names }], clues: [] },
  });
  expect(findings(observed('Out[7]'))).toContainEqual({
    code: 'displayed-result',
    statement: 'The displayed DataFrame is kept, 410.0 MiB, as the notebook remembers it as Out[7].',
    advice: 'A semicolon at the end of the line displays nothing and keeps nothing.',
    evidence: 'Evidence: no variable of yours holds it at the end of the cell.',
    bytes: 410 * MIB,
  });
  expect(codes(observed('late', 'Out[7]'))).not.toContain('displayed-result');
  expect(codes(observed('Out[6]'))).not.toContain('displayed-result');
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
  const times = Array.from({ length: 5 }, () => {
    const began = performance.now();
    findings(report);
    return performance.now() - began;
  });
  // The others also tell what else the machine does.
  expect(Math.min(...times)).toBeLessThan(50);
});
