import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Frame, isUserCode, libraryOf, placeLabel, shortFile, withoutInstallation } from '../places.js';
import { sampledReport } from '../fixtures/sampled-report.js';
import { parseReport, type Report } from '../report.js';
import {
  dominantLine,
  headline,
  namedHolders,
  peakParts,
  pruningStatement,
  residentStatement,
  topLines,
  untouchedStatement,
} from '../summary.js';
import { formatBytes, formatSeconds, formatShare } from '../units.js';

function fixture(name: string): Report {
  return parseReport(JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8')));
}

function frameIn(file: string, cell = -1): Frame {
  return { kind: 'python', function: 'f', file, line: 5, sourceLine: '', cell };
}

function words(report: Report): string {
  return headline(report)
    .map((phrases) => phrases.map(({ text }) => text).join(''))
    .join('\n');
}

describe('units', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [1024 * 1024 - 1, '1.0 MiB'],
    [3.2 * 2 ** 30, '3.2 GiB'],
    [-2048, '-2.0 KiB'],
    [2 ** 63, '8192.0 PiB'],
  ])('%d bytes are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  test.each([
    [0, 10, '0 %'],
    [1, 0, '0 %'],
    [1, 10_000, '< 0.1 %'],
    [1, 3, '33 %'],
    [1, 30, '3.3 %'],
    [997, 10_000, '10 %'],
    [10, 10, '100 %'],
  ])('%d of %d is %s', (part, whole, text) => {
    expect(formatShare(part, whole)).toBe(text);
  });

  test.each([
    [0.0421, '42 ms'],
    [0.9999, '1.0 s'],
    [59.99, '1 min 0 s'],
    [185, '3 min 5 s'],
  ])('%d seconds are %s', (seconds, text) => {
    expect(formatSeconds(seconds)).toBe(text);
  });
});

describe('places', () => {
  test.each([
    ['/v/lib/python3.11/site-packages/pandas/core/frame.py', 'pandas/core/frame.py', 'pandas'],
    ['/usr/lib/python3/dist-packages/numpy/x.py', 'numpy/x.py', 'numpy'],
    ['/usr/lib/python3.11/json/decoder.py', 'json/decoder.py', 'json'],
    ['/usr/lib/python3.12/site-packages/six.py', 'six.py', 'six'],
    ['<frozen importlib._bootstrap>', '<frozen importlib._bootstrap>', 'importlib'],
    ['/home/me/project/train.py', '/home/me/project/train.py', ''],
    ['/home/me/python3.11/train.py', '/home/me/python3.11/train.py', ''],
  ])('%s is %s of the library "%s"', (file, short, library) => {
    expect(shortFile(file)).toBe(short);
    expect(libraryOf(file)).toBe(library);
  });

  test.each([
    ['/home/me/.venv/lib/python3.11/site-packages/pandas/core/frame.py', 'site-packages/pandas/core/frame.py'],
    ['/usr/lib/python3.11/json/decoder.py', 'lib/python3.11/json/decoder.py'],
    ['/home/me/project/train.py', '/home/me/project/train.py'],
    ['<string>', '<string>'],
  ])('%s is kept in a report as %s, which says as much of the library', (file, kept) => {
    expect(withoutInstallation(file)).toBe(kept);
    expect([shortFile(kept), libraryOf(kept)]).toEqual([shortFile(file), libraryOf(file)]);
  });

  test("cells and files of the project are the user's code, libraries and generated code are not", () => {
    expect(isUserCode(frameIn('Cell [3]', 3))).toBe(true);
    expect(isUserCode(frameIn('/home/me/train.py'))).toBe(true);
    expect(isUserCode(frameIn('/v/lib/python3.11/site-packages/pandas/core/frame.py'))).toBe(false);
    expect(isUserCode(frameIn('<frozen importlib._bootstrap>'))).toBe(false);
  });

  test('a line of the profiled cell needs no cell number, one of another cell does', () => {
    const subject = { kind: 'cell', executionCount: 3, cellId: null } as const;
    expect(placeLabel(frameIn('Cell [3]', 3), subject)).toBe('line 5');
    expect(placeLabel(frameIn('Cell [2]', 2), subject)).toBe('Cell [2] line 5');
  });
});

describe('the answer in words', () => {
  test('names the peak, its parts and the line that held most of it', () => {
    expect(words(fixture('pandas'))).toBe(
      'Peak 1.9 GiB on top of 512.0 MiB in use before: 1.0 GiB is kept, 907.0 MiB was temporary.\n' +
        '63 % at line 3: late = merged[merged.dep_delay > 15].copy().sort_values("dep_delay")\n' +
        "4.8 s · up to 43 % of this container's 5.2 GiB",
    );
  });

  test('gives each figure of a sampled report its interval', () => {
    const report = fixture('small');
    const sampledBytes = report.tree.selfBytes.map((bytes) => Math.round(bytes / 10));
    const text = words({
      ...report,
      tree: { ...report.tree, sampledBytes },
      sampling: { meanBytes: 32_768, exactFromBytes: 32_768, retainedSampledBytes: 1_000_000 },
    });
    expect(text).toMatch(
      /^Peak 150\.0 MiB ± 1\.\d %: 100\.0 MiB \(± 0\.\d+ %\) is kept, 50\.0 MiB \(± 3\.\d %\) was temporary\./,
    );
    expect(text).toMatch(/ % at .* \([\d.]+ MiB ± \d\.\d %\)/);
  });

  test('names no line if none held half of the peak', () => {
    const report = fixture('small');
    report.tree.totalBytes = [157286400, 60000000, 52428800, 52428800];
    expect(dominantLine(report)).toBe(null);
  });

  test("names the innermost line of the user's code", () => {
    const report = fixture('small');
    report.tree = {
      parent: [-1, 0, 1, 1],
      frame: [0, 2, 3, 1],
      totalBytes: [157286400, 157286400, 140000000, 17286400],
      selfBytes: [0, 0, 140000000, 17286400],
    };
    expect(dominantLine(report)?.frame.file).toBe('/home/me/helpers.py');
  });

  test('more kept at the end than at the peak is a peak that was kept', () => {
    const report = { ...fixture('small'), retainedBytes: 2 ** 40 };
    expect(peakParts(report)).toEqual({ keptBytes: report.peakBytes, temporaryBytes: 0 });
  });

  test('a program that came to its end has no kept part, as Python gives back all at its shutdown', () => {
    const program = { ...fixture('small'), subject: { kind: 'program' as const, command: ['python', 'a.py'] } };
    expect(words(program)).toMatch(/^Peak 150\.0 MiB\./);
    expect(words(program)).not.toMatch(/kept|temporary/);
    expect(words({ ...program, outcome: { kind: 'running' } })).toContain('is kept');
  });

  test('tells how much of the machine that was, where its memory is known', () => {
    const report = fixture('pandas');
    expect(words({ ...report, memoryLimit: { of: 'machine', bytes: 8 * 2 ** 30 } })).toMatch(
      / up to 28 % of this machine's 8\.0 GiB$/,
    );
    expect(words({ ...report, memoryLimit: null })).toMatch(/\n4\.8 s$/);
    expect(words({ ...report, resident: null })).toMatch(/\n4\.8 s$/);
  });

  test('names the variables that hold what was in use before, and what is kept', () => {
    const report = fixture('pandas');
    expect(namedHolders(report)).toEqual({
      before: { names: ['flights', 'weather'], all: ['flights 380.0 MiB', 'weather 60.0 MiB'] },
      kept: { names: ['merged', 'late'], all: ['merged 620.0 MiB', 'late 410.0 MiB'] },
    });
    expect(namedHolders(fixture('small'))).toEqual({ before: { names: [], all: [] }, kept: { names: [], all: [] } });
  });

  test('tells how the run ended', () => {
    expect(words({ ...fixture('small'), outcome: { kind: 'interrupted' } })).toMatch(/\n250 ms · was interrupted$/);
  });
});

test("top lines charge libraries' memory to the user's line, and add up to the peak", () => {
  const report = fixture('pandas');
  const lines = topLines(report, 100);
  expect(lines.map(({ frame }) => frame.line)).toEqual([3, 2, 0]);
  expect(lines.reduce((sum, line) => sum + line.bytes, 0)).toBe(report.peakBytes);
});

test('what was pruned is said', () => {
  expect(pruningStatement(fixture('small'))).toBe(null);
  expect(pruningStatement(fixture('pandas'))).toMatch(/^\d+ frames too small to show .* < 0.1 % of the peak\.$/);
  const others = sampledReport(fixture('pandas'));
  expect(pruningStatement(others)).toMatch(/together they held [\d.]+ [KM]iB \((± [\d.]+ %|between .* and .*)\), /);
});

describe('the peak beside resident memory', () => {
  const MIB = 2 ** 20;
  const reportWith = (peak: number, isExact = true): Report => ({
    ...fixture('small'),
    peakBytes: 100 * MIB,
    residentBeforeBytes: 50 * MIB,
    resident: { peakBytes: peak * MIB, isExact, endBytes: null, ownBytes: 3 * MIB },
  });

  test('names what makes the difference', () => {
    expect(residentStatement(reportWith(175))).toMatch(
      /^The resident memory of the process grew by 125.0 MiB to 175.0 MiB at most, 25.0 MiB more than is tracked: memory that allocators keep .* tables \(3.0 MiB\)\.$/,
    );
    expect(residentStatement(reportWith(90))).toMatch(
      /grew by 40.0 MiB .* 60.0 MiB less than is tracked: .* not touched/,
    );
    expect(residentStatement(reportWith(40))).toMatch(/grew by 0 B .* 100.0 MiB less than is tracked/);
    expect(residentStatement(reportWith(151))).toMatch(/at most, as much as is tracked\.$/);
  });

  test('says where it was sampled, and nothing where nothing is known', () => {
    expect(residentStatement(reportWith(175, false))).toMatch(/grew by about 125.0 MiB .* of what was sampled/);
    expect(residentStatement({ ...reportWith(175), resident: null })).toBeNull();
    expect(residentStatement(fixture('small'))).toBeNull();
    expect(untouchedStatement({ ...reportWith(175), untouchedBytes: 64 * 2 ** 20 })).toMatch(
      /^Up to 64\.0 MiB were mapped and never touched/,
    );
    expect(untouchedStatement({ ...reportWith(175), untouchedBytes: 2 ** 20 })).toBeNull();
    expect(untouchedStatement(reportWith(175))).toBeNull();
  });
});
