import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseReport } from '../../../schema/report.js';
import { buildReport } from '../../src/report/build.js';
import { contextOf, outline, snapshotOf } from './snapshots.js';

const MIB = 2 ** 20;
const CELL = '/tmp/ipykernel_4242/1.py';
const SOURCE = [
  '%%filprofile',
  'merged = flights.merge(weather, on=["origin", "time_hour"])',
  'late = merged[merged.dep_delay > 15].copy().sort_values("dep_delay")',
  'late.groupby("carrier").dep_delay.describe()',
].join('\n');

const PANDAS = '/venv/lib/python3.11/site-packages/pandas/core';
const NUMPY = '/venv/lib/python3.11/site-packages/numpy/core';

/** A cell that joins, filters and sorts, as pandas 2 holds memory: at the peak three copies of the filtered rows are alive. */
const STACKS = [
  {
    frames: `${CELL}:2 (<module>);${PANDAS}/frame.py:10832 (DataFrame.merge);${PANDAS}/reshape/merge.py:184 (merge);${PANDAS}/reshape/merge.py:888 (_MergeOperation.get_result);${PANDAS}/reshape/merge.py:840 (_MergeOperation._reindex_and_concat);${PANDAS}/internals/managers.py:680 (BaseBlockManager.reindex_indexer);${PANDAS}/array_algos/take.py:157 (_take_nd_ndarray)`,
    peakBytes: 620 * MIB,
    currentBytes: 620 * MIB,
  },
  {
    frames: `${CELL}:2 (<module>);${PANDAS}/frame.py:10832 (DataFrame.merge);${PANDAS}/reshape/merge.py:184 (merge);${PANDAS}/reshape/merge.py:886 (_MergeOperation.get_result);${PANDAS}/reshape/merge.py:1151 (_MergeOperation._get_join_info);${PANDAS}/reshape/merge.py:2380 (_factorize_keys)`,
    peakBytes: 84 * MIB,
    currentBytes: 0,
  },
  {
    frames: `${CELL}:3 (<module>);${PANDAS}/frame.py:4081 (DataFrame.__getitem__);${PANDAS}/frame.py:4138 (DataFrame._getitem_bool_array);${PANDAS}/array_algos/take.py:157 (_take_nd_ndarray)`,
    peakBytes: 410 * MIB,
    currentBytes: 0,
  },
  {
    frames: `${CELL}:3 (<module>);${PANDAS}/generic.py:6811 (NDFrame.copy);${PANDAS}/internals/managers.py:593 (BaseBlockManager.copy);${NUMPY}/multiarray.py:85 (copyto)`,
    peakBytes: 410 * MIB,
    currentBytes: 0,
  },
  {
    frames: `${CELL}:3 (<module>);${PANDAS}/frame.py:7172 (DataFrame.sort_values);${PANDAS}/internals/managers.py:894 (BaseBlockManager.take);${PANDAS}/array_algos/take.py:157 (_take_nd_ndarray)`,
    peakBytes: 410 * MIB,
    currentBytes: 410 * MIB,
  },
  { frames: `${CELL}:3 (<module>)`, peakBytes: 3 * MIB + 17, currentBytes: 0 },
  { frames: '', peakBytes: 12 * MIB, currentBytes: 12 * MIB },
  ...Array.from({ length: 40 }, (_, line) => ({
    frames: `${CELL}:3 (<module>);${PANDAS}/frame.py:${4000 + line} (DataFrame.__getitem__)`,
    peakBytes: 1000 + line,
    currentBytes: 0,
  })),
];

/** Not read from the disk: these files' lines differ with the installed pandas. */
const context = contextOf({
  cells: new Map([[CELL, { filename: CELL, executionCount: 7, source: SOURCE }]]),
  workingDirectory: '/nowhere',
  residentBeforeBytes: 512 * MIB,
  resident: { peakBytes: 2300 * MIB, isExact: true, endBytes: 1600 * MIB },
  memoryLimit: { of: 'container', bytes: Math.round(5.2 * 2 ** 30) },
  observed: {
    variables: [
      { names: ['merged'], type: 'DataFrame', bytes: 620 * MIB, isWhole: true, cell: 7, line: 2 },
      { names: ['late', 'worst'], type: 'DataFrame', bytes: 410 * MIB, isWhole: true, cell: 7, line: 3 },
      { names: ['flights'], type: 'DataFrame', bytes: 380 * MIB, isWhole: true, cell: 2, line: 1 },
      { names: ['weather'], type: 'DataFrame', bytes: 60 * MIB, isWhole: true, cell: 2, line: 2 },
      { names: ['lookup'], type: 'dict', bytes: 2 * MIB, isWhole: false, cell: null, line: 0 },
    ],
    clues: [
      { kind: 'copied-before-call', cell: 7, firstLine: 3, lastLine: 3, next: 'sort_values' },
      { kind: 'grown-in-loop', cell: 2, firstLine: 5, lastLine: 5, loopLine: 4, name: 'all', call: 'concat' },
    ],
  },
  durationSeconds: 4.8,
});

function fixture(name: string): URL {
  return new URL(`../../../schema/fixtures/${name}`, import.meta.url);
}

test('the pandas fixture is what this code makes of its call stacks (FIL_UPDATE_FIXTURES=1 writes it anew)', () => {
  const report = buildReport(snapshotOf(STACKS), context);
  if (process.env['FIL_UPDATE_FIXTURES'] === '1') {
    writeFileSync(fixture('pandas.json'), `${JSON.stringify(report, null, 1)}\n`);
  }
  expect(report).toEqual(parseReport(JSON.parse(readFileSync(fixture('pandas.json'), 'utf8'))));
  expect(report.peakBytes).toBe(STACKS.reduce((sum, stack) => sum + stack.peakBytes, 0));
  // Of a line that is in no call stack.
  expect(report.observed?.clues.map(({ kind }) => kind)).toEqual(['copied-before-call']);
});

test('the small fixture, which was made by hand, is what this code makes of its two call stacks', () => {
  const small = parseReport(JSON.parse(readFileSync(fixture('small.json'), 'utf8')));
  const report = buildReport(
    snapshotOf([
      { frames: `${CELL}:2 (<module>)`, peakBytes: 100 * MIB, currentBytes: 100 * MIB },
      { frames: `${CELL}:3 (<module>);/home/me/helpers.py:12 (load)`, peakBytes: 50 * MIB },
    ]),
    contextOf({
      cells: new Map([
        [
          CELL,
          { filename: CELL, executionCount: 1, source: '%%filprofile\nx = np.ones((100, 2**20), "b")\ny = load()' },
        ],
      ]),
      subject: { kind: 'cell', executionCount: 1, cellId: null },
      residentBeforeBytes: null,
      durationSeconds: 0.25,
    }),
  );
  expect(outline(report)).toEqual([
    '[root] 157286400 0',
    '  Cell [1]:2 (<module>) 104857600 104857600',
    '  Cell [1]:3 (<module>) 52428800 0',
    '    /home/me/helpers.py:12 (load) 52428800 52428800',
  ]);
  // As it was made before reports had a limit.
  expect(report).toEqual({ ...small, memoryLimit: null, untouchedBytes: 0 });
});
