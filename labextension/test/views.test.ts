import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { largeReport } from '../../schema/fixtures/large-report.js';
import { sampledReport } from '../../schema/fixtures/sampled-report.js';
import { isUserCode } from '../../schema/places.js';
import { parseReport, type Report } from '../../schema/report.js';
import { amountInWords, peakEstimate } from '../../schema/sampling.js';
import { dominantLine } from '../../schema/summary.js';
import { bottomUp } from '../../schema/tree/bottom-up.js';
import { comparedRows, deltaLevel, mergedTree } from '../../schema/tree/compare.js';
import { lineRows, ownDeltaBytes, sortRows } from '../../schema/tree/lines.js';
import {
  amountInShort,
  certainDeltaBytes,
  deltaBytes,
  flameFrames,
  type FlameFrame,
  type FlameTree,
  foldedFrames,
  heldBytes,
  labelOf,
  NO_MATCHES,
  search,
} from '../../schema/tree/model.js';
import { ofProcess, processNodes } from '../../schema/tree/of-process.js';
import { peakCompared, sinceLastRun } from '../src/view/change.js';
import { foundInWords } from '../src/view/panels.js';
import { formatBytes, formatShare } from '../../schema/units.js';
import { areasInWords, areasOf } from '../src/view/process-areas.js';
import { moments } from '../src/view/time-chart.js';
import { differenceInWords } from '../src/view/tooltip.js';

function fixture(name: string): Report {
  return parseReport(JSON.parse(readFileSync(new URL(`../../schema/fixtures/${name}.json`, import.meta.url), 'utf8')));
}

const pandas = fixture('pandas');
const processes = fixture('processes');
const reports = { pandas, processes, small: fixture('small'), large: largeReport(5000) };

const own = (tree: FlameTree): number => tree.reduce((sum, { selfBytes }) => sum + selfBytes, 0);
const compared = (now: Report, before: Report): FlameTree =>
  mergedTree({ report: now, tree: foldedFrames(now) }, { report: before, tree: foldedFrames(before) });
const names = (frames: readonly FlameFrame[]): string[] => frames.map((frame) => labelOf(frame).name);

describe.each(Object.entries(reports))('of the report %s', (_, report) => {
  test('folding keeps every byte, below the line that called', () => {
    const folded = foldedFrames(report);
    expect(own(folded)).toBe(report.peakBytes);
    for (const { value, selfBytes, children } of folded) {
      expect(value).toBe(children.reduce((sum, child) => sum + child.value, selfBytes));
    }
  });

  test('no library function stands below another in the folded tree', () => {
    const isLibrary = ({ frame }: FlameFrame): boolean => frame.kind === 'python' && !isUserCode(frame);
    const both = foldedFrames(report).filter(
      (frame) => frame.parent !== null && isLibrary(frame) && isLibrary(frame.parent),
    );
    expect(both).toEqual([]);
  });

  test('bottom up has the whole peak in its first row, and callees hold what their callers sum up to', () => {
    for (const tree of [flameFrames(report), foldedFrames(report)]) {
      const [root, ...others] = bottomUp(report, tree);
      const first = root.children.reduce((sum, { value }) => sum + value, 0);
      expect(report.peakBytes - first).toBeLessThan(report.peakBytes / 2000);
      for (const { value, children } of others) {
        expect(children.reduce((sum, child) => sum + child.value, 0)).toBeLessThanOrEqual(value);
      }
    }
  });

  test('the lines of the table have the peak as their own bytes', () => {
    for (const rows of [
      lineRows(flameFrames(report), () => true),
      lineRows(foldedFrames(report), ({ frame }) => isUserCode(frame)),
    ]) {
      expect(rows.reduce((sum, { ownBytes }) => sum + ownBytes, 0)).toBe(report.peakBytes);
      expect(Math.max(...rows.map(({ totalBytes }) => totalBytes))).toBeLessThanOrEqual(report.peakBytes);
    }
  });

  test('a comparison with itself finds nothing', () => {
    for (const tree of [foldedFrames(report), bottomUp(report, flameFrames(report))]) {
      const merged = mergedTree({ report, tree }, { report, tree });
      expect(merged.filter((frame) => deltaBytes(frame) !== 0)).toEqual([]);
      expect(merged).toHaveLength(tree.length);
      expect(merged[0].value).toBe(report.peakBytes);
    }
  });
});

test('folded, a line of the cell shows which functions of libraries it called', () => {
  const [root] = foldedFrames(pandas);
  expect(names(root.children).slice(0, 2)).toEqual(['line 3', 'line 2']);
  expect(names(root.children[0]?.children ?? [])).toEqual([
    'DataFrame.sort_values',
    'NDFrame.copy',
    'DataFrame.__getitem__',
    'other',
  ]);
});

test('code of the user that a library calls back stays visible', () => {
  const report = structuredClone(fixture('small'));
  // line 3 of the cell, a function of pandas, a function of the user.
  report.tree = {
    parent: [-1, 0, 1, 2],
    frame: [0, 2, 1, 3],
    totalBytes: [10, 10, 10, 4],
    selfBytes: [0, 0, 6, 4],
  };
  report.frames.file[1] = '/x/site-packages/pandas/core/frame.py';
  report.frames.cell[1] = -1;
  report.frames.function[1] = 'DataFrame.apply';
  expect(names(foldedFrames(report))).toEqual(['Cell [1]', 'line 3', 'DataFrame.apply', 'load']);
});

test('the same line is found again after it moved and its cell got another number', () => {
  const later = structuredClone(pandas);
  later.subject = { kind: 'cell', executionCount: 9, cellId: null };
  later.frames.cell = later.frames.cell.map((cell) => (cell === 7 ? 9 : cell));
  later.frames.line = later.frames.line.map((line, row) => (later.frames.cell[row] === 9 ? line + 4 : line));
  const line = later.tree.frame.findIndex((row) => later.frames.sourceLine[row]?.startsWith('late =') === true);
  later.tree.totalBytes[line] = (later.tree.totalBytes[line] ?? 0) + 1000;
  later.tree.selfBytes[line] = (later.tree.selfBytes[line] ?? 0) + 1000;
  const tree = compared(later, pandas);
  expect(
    tree.filter((frame) => deltaBytes(frame) !== 0).map((frame) => [labelOf(frame).name, deltaBytes(frame)]),
  ).toEqual([['line 7', 1000]]);
});

test('a frame that only the earlier report has keeps the width that it had, and no frame is wider than its caller', () => {
  const now = structuredClone(pandas);
  const gone = now.frames.sourceLine.findIndex((text) => text.startsWith('merged ='));
  // Another line altogether stands there now.
  now.frames.sourceLine[gone] = 'print(flights)';
  const tree = compared(now, pandas);
  const missing = tree.filter((frame) => heldBytes(frame) === 0 && frame.depth === 1);
  expect(missing.map((frame) => [labelOf(frame).source, frame.value])).toEqual([
    ['merged = flights.merge(weather, on=["origin", "time_hour"])', 738197504],
  ]);
  expect(tree[0].compared).toEqual({
    now: { bytes: now.peakBytes, sampledBytes: 0, sampling: undefined },
    before: { bytes: pandas.peakBytes, sampledBytes: 0, sampling: undefined },
  });
  for (const { value, children } of tree) {
    expect(children.reduce((sum, child) => sum + child.value, 0)).toBeLessThanOrEqual(value);
  }
});

test('a line that was changed is the same line if it assigns to the same variable or calls the same', () => {
  const now = structuredClone(pandas);
  now.frames.sourceLine = now.frames.sourceLine.map((text) =>
    text.replace(/^merged = .*/, 'merged = flights[few].join(w)'),
  );
  expect(compared(now, pandas).filter((frame) => deltaBytes(frame) !== 0)).toEqual([]);
});

test('a program whose files have other names is compared all the same', () => {
  const small = reports.small;
  const moved = { ...small.frames, file: small.frames.file.map((file) => file.replace('helpers.py', 'helpers_2.py')) };
  expect(moved.file).not.toEqual(small.frames.file);
  expect(compared({ ...small, frames: moved }, small).filter((frame) => deltaBytes(frame) !== 0)).toEqual([]);
});

test('lines that are gone stay in the comparison, with what they held', () => {
  const rows = lineRows(foldedFrames(pandas), ({ frame }) => isUserCode(frame));
  const [first, ...others] = sortRows(rows, 'own');
  const all = comparedRows(others, rows);
  expect(all).toHaveLength(rows.length);
  const [gone] = sortRows(all, 'delta');
  expect(gone).toMatchObject({ ownBytes: 0, before: { ownBytes: first?.ownBytes } });
  expect(gone === undefined ? null : ownDeltaBytes(gone)).toBe(-(first?.ownBytes ?? 0));
});

test('shades of a difference tell its size', () => {
  expect([-50, -10, -1, -0.1, 0, 0.1, 1, 10, 50].map((delta) => deltaLevel(delta, 100))).toEqual([
    -3, -2, -1, 0, 0, 0, 1, 2, 3,
  ]);
});

test('the curve goes through the exact peak, from nothing to what was kept', () => {
  const { all, peak } = moments({ ...pandas, timeline: { seconds: [1, 2, 3], bytes: [5, 9, 4] } });
  expect(peak).toEqual({ seconds: 2, bytes: pandas.peakBytes });
  expect(all.map(({ seconds }) => seconds)).toEqual([0, 1, 2, 3, pandas.durationSeconds]);
  expect(all.at(-1)?.bytes).toBe(pandas.retainedBytes);
});

test('the curve ends with the run, even if a sample was taken after it', () => {
  const { all, peak } = moments({ ...pandas, durationSeconds: 2, timeline: { seconds: [1, 2.1], bytes: [5, 9] } });
  expect(peak?.seconds).toBe(2);
  expect(all.map(({ seconds }) => seconds)).toEqual([0, 1, 2, 2]);
  expect(all.at(-1)?.bytes).toBe(pandas.retainedBytes);
});

describe('of a sampled report', () => {
  const sampled = sampledReport(pandas);
  const whole = sampled.tree.sampledBytes?.reduce((sum, bytes) => sum + bytes, 0) ?? 0;

  test.each([
    ['whole', flameFrames(sampled)],
    ['folded', foldedFrames(sampled)],
    ['bottom-up', bottomUp(sampled, flameFrames(sampled))],
    ['compared', compared(sampled, pandas)],
  ])('each frame of the %s tree knows what of its bytes is estimated', (_, tree) => {
    expect(tree[0].sampledBytes).toBe(whole);
    for (const { sampledBytes, value } of tree) {
      expect(sampledBytes).toBeLessThanOrEqual(value);
    }
    expect(tree.some(({ sampledBytes, parent }) => parent !== null && sampledBytes > 0)).toBe(true);
  });

  test('what is too small to show bottom up knows it too', () => {
    const large = sampledReport(reports.large);
    const [root] = bottomUp(large, flameFrames(large));
    expect(root.children.at(-1)?.frame.kind).toBe('other');
    expect(root.children.at(-1)?.sampledBytes).toBeGreaterThan(0);
    expect(root.children.reduce((sum, { sampledBytes }) => sum + sampledBytes, 0)).toBe(root.sampledBytes);
  });

  test('so does each line', () => {
    const rows = lineRows(foldedFrames(sampled), ({ frame }) => isUserCode(frame));
    expect(rows.reduce((sum, { ownSampledBytes }) => sum + ownSampledBytes, 0)).toBe(whole);
    for (const row of rows) {
      expect(row.totalSampledBytes).toBeLessThanOrEqual(row.totalBytes);
    }
  });

  test('what a search finds has the interval of its sum, not the sum of the intervals', () => {
    const found = search(flameFrames(sampled), 'merge');
    const outermost = [...found.frames].filter(({ parent }) => parent === null || !found.frames.has(parent));
    expect(outermost.length).toBeGreaterThan(0);
    expect(found.sampledBytes).toBeGreaterThan(0);
    expect(found.sampledBytes).toBeLessThanOrEqual(found.bytes);
    expect(foundInWords('merge', 2, '2 frames', found, sampled)).toBe(
      `2 frames, ${amountInWords(found.bytes, found.sampledBytes, sampled.sampling)}, ${formatShare(found.bytes, sampled.peakBytes)}`,
    );
    expect(foundInWords('merge', 2, '2 frames', found, sampled)).toContain('± ');
    expect(foundInWords('merge', 2, '2 frames', { ...found, sampledBytes: 0 }, pandas)).not.toContain('±');
    const all = search(flameFrames(sampled), 'Cell [7]');
    expect([all.bytes, all.sampledBytes]).toEqual([sampled.peakBytes, whole]);
    expect(search(flameFrames(sampled), 'no such text')).toEqual(NO_MATCHES);
  });

  test('a comparison knows of both reports what is estimated, whichever is sampled', () => {
    for (const [now, before] of [
      [sampled, pandas],
      [pandas, sampled],
      [sampled, sampled],
    ] as const) {
      const [root] = compared(now, before);
      expect(root.compared).toEqual({ now: peakEstimate(now), before: peakEstimate(before) });
    }
  });

  test('a difference of frames has an interval; what is not there now or was not before can have been missed', () => {
    const { sampling } = sampled;
    const [more, less, none] = [100e6, 40e6, 0].map((bytes) => ({ bytes, sampledBytes: bytes, sampling }));
    const counted = { bytes: 40e6, sampledBytes: 0, sampling: undefined };
    if (more === undefined || less === undefined || none === undefined) {
      throw new Error('Three figures.');
    }
    expect(differenceInWords({ now: more, before: less })).toBe(
      '+57.2 MiB (± 13 %) compared with 38.1 MiB (± 11 %) before',
    );
    expect(differenceInWords({ now: more, before: counted })).toBe('+57.2 MiB (± 11 %) compared with 38.1 MiB before');
    expect(differenceInWords({ now: more, before: none })).toBe('new: less than 191.7 KiB before');
    expect(differenceInWords({ now: none, before: less })).toBe('gone: 38.1 MiB (± 11 %) before');
  });

  test('peaks that differ by chance are not called less or more in colour, and their difference has an interval', () => {
    const { sampling } = sampled;
    const counted = { ...pandas, sampling: undefined };
    const smaller = { ...sampled, peakBytes: sampled.peakBytes - 15e6, sampling };
    const half = { ...sampled, peakBytes: sampled.peakBytes / 2, sampling };
    expect(sinceLastRun(counted, counted)).toEqual({ kind: 'same', words: 'as much as in the last run' });
    expect(sinceLastRun(sampled, sampled)).toMatchObject({ kind: 'same' });
    expect(sinceLastRun(sampled, sampled).words).toMatch(/^about as much as in the last run \(between -.* and \+.*\)$/);
    expect(sinceLastRun(sampled, smaller).kind).toBe('same');
    expect(sinceLastRun(sampled, smaller).words).toMatch(
      /^14\.3 MiB \(between -.* and .*\) more than in the last run$/,
    );
    expect(sinceLastRun(half, sampled).kind).toBe('less');
    expect(sinceLastRun(half, sampled).words).toMatch(/MiB \(± [\d.]+ %\) less than in the last run$/);
    expect(peakCompared(sampled, half)).toMatch(/^peak [\d.]+ MiB \(± [\d.]+ %\) more$/);
    expect(peakCompared(counted, { ...counted, peakBytes: counted.peakBytes - 2 ** 20 })).toBe('peak 1.0 MiB more');
  });

  test('a difference that can be chance has no colour, and its label says that it is about so much', () => {
    const twice = compared(sampled, sampled);
    const later = structuredClone(sampled);
    const node = later.tree.selfBytes.length - 1;
    for (let above = node; above >= 0; above = later.tree.parent[above] ?? -1) {
      later.tree.totalBytes[above] = (later.tree.totalBytes[above] ?? 0) + 20_000;
    }
    later.tree.selfBytes[node] = (later.tree.selfBytes[node] ?? 0) + 20_000;
    later.peakBytes += 20_000;
    const tree = compared(later, sampled);
    expect(tree.filter((frame) => deltaBytes(frame) === 20_000).length).toBeGreaterThan(0);
    expect(tree.filter((frame) => certainDeltaBytes(frame) !== 0)).toEqual([]);
    const exact = compared({ ...later, sampling: undefined }, { ...sampled, sampling: undefined });
    expect(exact.filter((frame) => certainDeltaBytes(frame) !== 0).length).toBeGreaterThan(0);
    expect(amountInShort(twice[0], sampled)).toBe('≈ ±0 B');
    expect(amountInShort(flameFrames(sampled)[0], sampled)).toBe(`≈ ${formatBytes(sampled.peakBytes)}`);
    expect(amountInShort(flameFrames(pandas)[0], pandas)).toBe(formatBytes(pandas.peakBytes));
  });
});

describe('of several processes', () => {
  test('each one is a report of its own, and all together are the whole', () => {
    const nodes = processNodes(processes);
    expect(nodes.map(({ name }) => name)).toEqual([
      expect.stringMatching(/^trio\.py \(forked\), pid \d+$/),
      expect.stringMatching(/^trio\.py \(forked\), pid \d+$/),
      expect.stringMatching(/^trio\.py, pid \d+$/),
    ]);
    const parts = nodes.map((node) => ofProcess(processes, node));
    expect(parts.reduce((sum, { peakBytes }) => sum + peakBytes, 0)).toBe(processes.peakBytes);
    const sampled = { ...processes, tree: { ...processes.tree, sampledBytes: processes.tree.selfBytes } };
    for (const [nth, node] of nodes.entries()) {
      const part = ofProcess(sampled, node);
      expect(part.tree.sampledBytes).toEqual(parts[nth]?.tree.selfBytes);
    }
    for (const part of parts) {
      expect(own(flameFrames(part))).toBe(part.peakBytes);
      expect(Math.max(...part.timeline.bytes)).toBeGreaterThanOrEqual(part.peakBytes);
    }
  });

  test('what several held at the same line counts together', () => {
    expect(dominantLine(processes)).toMatchObject({ frame: { line: 3 }, bytes: 65_000_194 });
  });

  test('their areas end at the curve of all', () => {
    const areas = areasOf(processes);
    expect(areas).toHaveLength(3);
    const sums = processes.timeline.seconds.map((_, row) =>
      areas.reduce((sum, { bytes }) => sum + (bytes[row] ?? 0), 0),
    );
    expect(sums).toEqual(processes.timeline.bytes);
    expect(areasInWords(areas, 2)).toMatch(/^trio\.py \(forked\), pid \d+: 38\.1 MiB; .*: 23\.8 MiB; .*: 9\.6 MiB$/);
    expect(areasOf(pandas)).toEqual([]);
  });
});
