import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { SaxesParser } from 'saxes';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { largeReport } from '../../../schema/fixtures/large-report.js';
import { sampledReport } from '../../../schema/fixtures/sampled-report.js';
import { parseReport, type Report } from '../../../schema/report.js';
import { collapsedStacks } from '../../src/output/collapsed.js';
import { writeReportFiles } from '../../src/output/files.js';
import { reportJson } from '../../src/output/json.js';
import { flamegraphSvg } from '../../src/output/picture.js';
import { ReportSource } from '../../src/report/build.js';
import { COMPLETE, FOR_NOTEBOOKS } from '../../src/report/prune.js';
import { contextOf, outline, snapshotOf, snapshotOfColumns } from '../report/snapshots.js';

const PARTS = {
  page: '<title><!--fil:title--></title><h1><!--fil:heading--></h1><main><!--fil:static--></main><script><!--fil:report--></script><script><!--fil:before--></script>',
  picture: { style: '.paper{fill:#fff}', script: 'if (1 < 2 && 3 > 2) { void 0; }' },
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'files-test-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function fixture(name: string): Report {
  return parseReport(JSON.parse(readFileSync(new URL(`../../../schema/fixtures/${name}.json`, import.meta.url), 'utf8')));
}

const source = ReportSource.ofSnapshot(
  snapshotOf([
    { frames: 'main.py:3 (<module>);main.py:1 (make)', peakBytes: 3000 },
    { frames: 'main.py:3 (<module>);lib.py:7 (Maker.make)', peakBytes: 2000 },
    { frames: '', peakBytes: 500 },
  ]),
  contextOf({ subject: { kind: 'program', command: ['python', 'main.py'] } }),
);

/** Names and texts of the elements, after a check that the text is well-formed XML. */
function elementsOf(xml: string): { name: string; text: string }[] {
  const found: { name: string; text: string }[] = [];
  const open: { name: string; text: string }[] = [];
  const parser = new SaxesParser({ xmlns: true });
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name }) => {
    const element = { name, text: '' };
    found.push(element);
    open.push(element);
  });
  parser.on('closetag', () => {
    open.pop();
  });
  const add = (text: string): void => {
    const last = open.at(-1);
    if (last !== undefined) {
      last.text += text;
    }
  };
  parser.on('text', add);
  parser.on('cdata', add);
  parser.write(xml).close();
  return found;
}

const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
const all = (pieces: Iterable<string>): string => [...pieces].join('');

describe('the files of a report', () => {
  test('are a page, two flamegraphs, collapsed stacks and the complete report, under the names of Fil', () => {
    const { files, problems } = writeReportFiles(join(directory, 'new', 'deep'), source, { parts: PARTS });
    expect(problems).toEqual([]);
    expect(files).toEqual(
      ['index.html', 'peak-memory.svg', 'peak-memory-reversed.svg', 'peak-memory.prof', 'profile.json'].map((name) =>
        join(directory, 'new', 'deep', name),
      ),
    );
    expect(readdirSync(join(directory, 'new', 'deep')).sort()).toEqual(files.map((file) => file.split('/').at(-1)).sort());
  });

  test('of running out of memory have its name, and an index too', () => {
    writeReportFiles(directory, source, { parts: PARTS, moment: 'out-of-memory' });
    expect(readdirSync(directory).sort()).toEqual([
      'index.html',
      'out-of-memory-reversed.svg',
      'out-of-memory.prof',
      'out-of-memory.svg',
      'profile.json',
    ]);
    expect(read('index.html')).toContain('Tracked Memory When It Ran Out (5.4 KiB)');
  });

  test('carry the title that users of Fil know', () => {
    writeReportFiles(directory, source, { parts: PARTS });
    const title = 'Peak Tracked Memory Usage (5.4 KiB)';
    expect(read('index.html')).toContain(`<title>${title} · python main.py</title><h1>${title}</h1>`);
    expect(elementsOf(read('peak-memory.svg'))[1]).toEqual({ name: 'title', text: title });
  });

  test('that can not be written are told with path and reason, and the others are written', () => {
    mkdirSync(join(directory, 'profile.json', 'in the way'), { recursive: true });
    const { files, problems } = writeReportFiles(directory, source, { parts: PARTS });
    expect(files).toHaveLength(4);
    expect(problems).toEqual([expect.stringMatching(/profile\.json could not be written: E(?:ISDIR|NOTEMPTY|EXIST)/)]);
    expect(readdirSync(directory).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('in a directory that can not be made are one problem', () => {
    writeFileSync(join(directory, 'file'), '');
    const { files, problems } = writeReportFiles(join(directory, 'file', 'inside'), source, { parts: PARTS });
    expect(files).toEqual([]);
    expect(problems).toEqual([expect.stringMatching(/the directory .*inside could not be made: ENOTDIR/)]);
  });

  test('take the place of older ones', () => {
    writeFileSync(join(directory, 'peak-memory.prof'), 'old');
    writeReportFiles(directory, source, { parts: PARTS });
    expect(read('peak-memory.prof')).not.toContain('old');
  });
});

describe('collapsed stacks', () => {
  test('are lines in the form of Fil, and their bytes are the peak', () => {
    expect(all(collapsedStacks(source.report(FOR_NOTEBOOKS)))).toBe(
      'main.py:3 (<module>);main.py:1 (make) 3000\n' +
        'main.py:3 (<module>);lib.py:7 (Maker.make) 2000\n' +
        '[No Python stack] 500\n',
    );
  });

  test('charge what is too small to show to its callers', () => {
    for (const report of [fixture('pandas'), largeReport(5000)]) {
      const lines = all(collapsedStacks(report)).trimEnd().split('\n');
      expect(lines.reduce((sum, line) => sum + Number(/ (\d+)$/.exec(line)?.[1]), 0)).toBe(report.peakBytes);
    }
  });

  test('keep to one line and its separators, whatever the names are', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(';', ' ', '\n', '\r', '1', '(', ')', 'é', '\ud800') }), (text) => {
        const lines = all(collapsedStacks(reportNaming(text))).split('\n');
        expect(lines).toHaveLength(3);
        expect(lines[1]?.split(';')).toHaveLength(2);
        expect(lines[0]).toMatch(/^[^;]* 1000$/);
      }),
    );
  });
});

/** A report in whose frames, command and source lines a text stands. */
function reportNaming(text: string): Report {
  const snapshot = snapshotOfColumns({
    parent: [0, 0, 1],
    code: [0xffffffff, 0, 1],
    line: [0, 1, 2],
    peak: [0, 1000, 2000],
    filename: ['/c.py', text],
    qualifiedName: [text, text],
  });
  return ReportSource.ofSnapshot(
    {
      ...snapshot,
      failure: { count: 1, bytes: 2 ** 50, site: 2, thread: 1, atSeconds: 1, refused: false },
    },
    contextOf({
      title: text,
      subject: { kind: 'program', command: [text] },
      outOfMemory: {
        rule: 'failed-allocation',
        action: 'raised',
        limitOf: 'machine',
        limitBytes: 4e9,
        availableBytes: 3e9,
        headroomBytes: 1e8,
        trackedBytes: 3000,
        residentBytes: 1e8,
        swappedBytes: 0,
      },
      cells: new Map([['/c.py', { filename: '/c.py', executionCount: 2, source: text }]]),
    }),
  ).report(FOR_NOTEBOOKS);
}

describe('a flamegraph as a file', () => {
  test('is well-formed XML with a group for each frame, which tells where, what and how much', () => {
    const report = source.report(FOR_NOTEBOOKS);
    const svg = all(flamegraphSvg(report, 'Title', 'callees', PARTS.picture));
    const titles = elementsOf(svg).filter(({ name }) => name === 'title');
    expect(titles.map(({ text }) => text)).toEqual([
      'Title',
      'python main.py\n5.4 KiB, 100 % (5500 bytes)',
      'main.py:3 (<module>)\n4.9 KiB, 91 % (5000 bytes)',
      'main.py:1 (make)\n2.9 KiB, 55 % (3000 bytes)',
      'lib.py:7 (Maker.make)\n2.0 KiB, 36 % (2000 bytes)',
      '[No Python stack]\n500 B, 9.1 % (500 bytes)',
    ]);
    expect(elementsOf(svg).find(({ name }) => name === 'script')?.text).toBe(PARTS.picture.script);
  });

  test('of a sampled report tells the interval of each frame, nothing to the byte, and what its script needs for those of sums', () => {
    const sampled = sampledReport(source.report(FOR_NOTEBOOKS));
    const svg = all(flamegraphSvg(sampled, 'Title', 'callees', PARTS.picture));
    const [, ...titles] = elementsOf(svg).filter(({ name }) => name === 'title');
    for (const { text } of titles) {
      expect(text).toMatch(/\n[\d.]+ K?i?B \((± [\d.]+ %|between .*)\), [\d.]+ %$/);
    }
    expect(svg).toContain('<g id="frames" data-mean="65536">');
    const bytes = Array.from(svg.matchAll(/data-b="(\d+)" data-s="(\d+)"/g), ([, held, estimated]) => [held, estimated]);
    expect(bytes).toEqual([
      ['5500', '2750'],
      ['5000', '2500'],
      ['3000', '1500'],
      ['2000', '1000'],
      ['500', '250'],
    ]);
    expect(all(flamegraphSvg(source.report(FOR_NOTEBOOKS), 'Title', 'callees', PARTS.picture))).not.toMatch(/data-(b|s|mean)=/);
  });

  test('reversed begins with the lines that allocated', () => {
    const svg = all(flamegraphSvg(source.report(FOR_NOTEBOOKS), 'Title', 'callers', PARTS.picture));
    const depths = Array.from(svg.matchAll(/data-d="(\d)"[^>]*><title>(\S+)/g), ([, depth, name]) => [depth, name]);
    expect(depths).toEqual([
      ['0', 'python'],
      ['1', 'main.py:1'],
      ['1', 'lib.py:7'],
      ['1', '[No'],
      ['2', 'main.py:3'],
      ['2', 'main.py:3'],
    ]);
  });

  test('stays well-formed, whatever the names are', () => {
    const unit = fc.oneof(
      fc.constantFrom('<', '>', '&', '"', "'", ']]>', '<![CDATA[', '</title>', '<script>', '\0', '\u0007', '\uffff', '\ud800', '\udc00'),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 2 }),
    );
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 12 }), (parts) => {
        const text = parts.join('');
        const svg = all(flamegraphSvg(reportNaming(text), text, 'callees', PARTS.picture));
        // The picture's and those of three frames; the request's and those of two.
        expect(elementsOf(svg).filter(({ name }) => name === 'g')).toHaveLength(7);
        expect(svg).toContain('Requested, but never held: 1.0 PiB');
        expect(elementsOf(svg).filter(({ name }) => name === 'script')).toHaveLength(1);
      }),
    );
  });
});

describe('the complete report', () => {
  test('as JSON in pieces is the text that JSON.stringify gives', () => {
    for (const report of [fixture('small'), fixture('pandas'), largeReport(25_000)]) {
      expect(all(reportJson(report))).toBe(`${JSON.stringify(report)}\n`);
    }
  });

  test('has every call stack, and the smaller report is made of it as of the snapshot', () => {
    const snapshot = snapshotOf(
      Array.from({ length: 9000 }, (_, nth) => ({
        frames: `main.py:3 (<module>);main.py:${(nth % 90) + 10} (f);lib.py:${nth} (g)`,
        peakBytes: 1 + ((nth * 7919) % 5000) ** 2,
      })),
    );
    const first = ReportSource.ofSnapshot(snapshot, contextOf());
    const complete = first.report(COMPLETE);
    expect(complete.pruned).toEqual({ nodes: 0, bytes: 0 });
    expect(complete.tree.parent).toHaveLength(1 + 1 + 90 + 9000);
    const again = ReportSource.ofReport(parseReport(JSON.parse(all(reportJson(complete)))));
    expect(again.report(COMPLETE)).toEqual(complete);
    const small = again.report(FOR_NOTEBOOKS);
    expect(outline(small)).toEqual(outline(first.report(FOR_NOTEBOOKS)));
    // What was left out before stays left out, and is counted once.
    expect(ReportSource.ofReport(small).report(FOR_NOTEBOOKS)).toEqual(small);
  });
});
