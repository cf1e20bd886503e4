import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseReport, type Report } from '../../schema/report.js';
import { largeReport } from '../../schema/fixtures/large-report.js';
import { flameFrames, heatOf, labelOf, search } from '../../schema/tree/model.js';

function fixture(name: string): Report {
  return parseReport(JSON.parse(readFileSync(new URL(`../../schema/fixtures/${name}.json`, import.meta.url), 'utf8')));
}

describe('frames', () => {
  test('form the tree of the report, in its order', () => {
    const [root, ...frames] = flameFrames(fixture('small'));
    expect(root.parent).toBe(null);
    expect(root.children.map((child) => child.value)).toEqual([104857600, 52428800]);
    expect(frames.map((frame) => frame.parent?.node)).toEqual([0, 0, 2]);
    expect(frames.map(labelOf).map(({ name, place, source }) => [name, place, source])).toEqual([
      ['line 2', '', 'x = np.ones((100, 2**20), "b")'],
      ['line 3', '', 'y = load()'],
      ['load', 'helpers.py:12', ''],
    ]);
  });

  test('are new for each drawing, as the chart writes into them', () => {
    const report = fixture('small');
    expect(flameFrames(report)[0]).not.toBe(flameFrames(report)[0]);
  });

  test('are redder the more they held', () => {
    expect([0, 0.0001, 0.1, 0.25, 0.5, 0.99, 1].map(heatOf)).toEqual([1, 1, 3, 4, 5, 7, 7]);
  });

  test('of a tree too deep to draw are an error', () => {
    const report = fixture('small');
    const nodes = Array.from({ length: 5000 }, (_, node) => node);
    report.tree = {
      parent: nodes.map((node) => node - 1),
      frame: nodes.map(() => 1),
      totalBytes: nodes.map(() => 1),
      selfBytes: nodes.map((node) => (node === 4999 ? 1 : 0)),
    };
    expect(() => flameFrames(report)).toThrow('2000 levels');
  });
});

describe('search', () => {
  const frames = flameFrames(fixture('pandas'));

  test('takes the text literally, in any case', () => {
    expect(search(frames, '.COPY(').frames.size).toBe(1);
    expect(search(frames, '.*').frames.size).toBe(0);
    expect(search(frames, '(').bytes).toBeGreaterThan(0);
  });

  test('counts nothing twice', () => {
    const { frames: found, bytes } = search(frames, 'pandas');
    expect(found.size).toBeGreaterThan(10);
    const outermost = [...found].filter((frame) => {
      for (let above = frame.parent; above !== null; above = above.parent) {
        if (found.has(above)) {
          return false;
        }
      }
      return true;
    });
    expect(bytes).toBe(outermost.reduce((sum, frame) => sum + frame.value, 0));
  });

  test('finds files with lines, and nothing for no text', () => {
    expect(search(frames, 'frame.py:7172').frames.size).toBe(1);
    expect(search(frames, '  ')).toEqual({ frames: new Set(), bytes: 0, sampledBytes: 0 });
  });

  test('of 5,000 frames takes less than 0.1 s', () => {
    const times = Array.from({ length: 5 }, () => {
      // A fresh tree each time: labels are remembered.
      const many = flameFrames(largeReport(5000));
      const began = performance.now();
      search(many, 'merge');
      return performance.now() - began;
    });
    // The others also tell what else the machine does.
    expect(Math.min(...times)).toBeLessThan(100);
  });
});
