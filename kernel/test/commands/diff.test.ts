import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { sampledReport } from '../../../schema/fixtures/sampled-report.js';
import { parseReport, type Report } from '../../../schema/report.js';
import { differencesOf, diffJson, diffText } from '../../src/commands/diff.js';
import type { StoredReport } from '../../src/commands/read-report.js';

const exact = parseReport(
  JSON.parse(readFileSync(new URL('../../../schema/fixtures/pandas.json', import.meta.url), 'utf8')),
);

const sampled = sampledReport(exact);

/** One line holds 100 MiB more. */
function grown(report: Report): Report {
  const more = 100 * 2 ** 20;
  const later = structuredClone(report);
  const node = later.frames.sourceLine.findIndex((text) => text.startsWith('late ='));
  const first = later.tree.frame.indexOf(node);
  later.tree.selfBytes[first] = (later.tree.selfBytes[first] ?? 0) + more;
  for (let above = first; above >= 0; above = later.tree.parent[above] ?? -1) {
    later.tree.totalBytes[above] = (later.tree.totalBytes[above] ?? 0) + more;
  }
  later.peakBytes += more;
  return later;
}

function stored(report: Report, name: string): StoredReport {
  return { report, name, moment: 'peak', directory: '.' };
}

function told(before: Report, after: Report): { readonly text: string; readonly json: Record<string, unknown> } {
  const differences = differencesOf(before, after);
  const both = [stored(before, 'before'), stored(after, 'after')] as const;
  return {
    text: diffText(...both, differences, 10),
    json: JSON.parse(diffJson(...both, differences)) as Record<string, unknown>,
  };
}

describe('the difference of two reports', () => {
  it('of which none is sampled has plain figures', () => {
    const { text, json } = told(exact, grown(exact));
    expect(text).toMatch(/^Peak [\d.]+ GiB before, [\d.]+ GiB after: \+100\.0 MiB$/m);
    expect(text).toMatch(/^ +\+100\.0 MiB +[\d.]+ GiB +[\d.]+ GiB {2}line /m);
    expect(text).not.toMatch(/±|95 of 100/);
    expect(json['lines']).toMatchObject([{ deltaBytes: 100 * 2 ** 20 }]);
    expect(JSON.stringify(json)).not.toContain('nterval');
  });

  it.each([
    ['both are', sampled, sampled],
    ['the earlier one is', sampled, exact],
    ['the later one is', exact, sampled],
  ])('of which %s sampled has an interval beside each estimate', (_, before, after) => {
    const { text, json } = told(before, grown(after));
    const [peak = '', ...rest] = text.split('\n');
    expect(peak).toMatch(/^Peak .* before, .* after: \+100\.0 MiB \((± [\d.]+ %|between .* and .*)\)$/);
    expect(peak.match(/[\d.]+ GiB \(± [\d.]+ %\)/g)).toHaveLength(before === after ? 2 : 1);
    expect(rest.find((line) => line.includes('+100.0 MiB'))).toMatch(/\+100\.0 MiB \(± [\d.]+ %\).*line /);
    expect(text).toContain('in 95 of 100 cases');
    const [line] = json['lines'] as Record<string, { lowBytes: number; highBytes: number }>[];
    const interval = line?.['deltaInterval'];
    expect(interval?.lowBytes).toBeLessThan(100 * 2 ** 20);
    expect(interval?.highBytes).toBeGreaterThan(100 * 2 ** 20);
    expect(line?.['beforeInterval'] === undefined).toBe(before.sampling === undefined);
    expect(line?.['afterInterval'] === undefined).toBe(after.sampling === undefined);
    expect(json).toHaveProperty('peakDeltaInterval.lowBytes');
    const sampledRun = before.sampling === undefined ? 'after' : 'before';
    expect(json).toHaveProperty(`${sampledRun}.peakInterval.highBytes`);
    expect(json).toHaveProperty(`${sampledRun}.retainedInterval.highBytes`);
  });

  it('keeps its columns under their heads', () => {
    const lines = told(sampled, grown(sampled)).text.split('\n');
    const head = lines.find((line) => line.endsWith('  Where')) ?? '';
    const row = lines.find((line) => line.includes('+100.0 MiB (±') && !line.startsWith('Peak')) ?? '';
    for (const [title, end] of [
      ['Change', /\+100\.0 MiB \(.*?\)/],
      ['After', /.*\)(?= {2}line)/],
    ] as const) {
      const found = end.exec(row);
      expect((found?.index ?? 0) + (found?.[0].length ?? 0)).toBe(head.indexOf(title) + title.length);
    }
  });
});
