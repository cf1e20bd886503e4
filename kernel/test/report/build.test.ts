import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseReport, type Report } from '../../../schema/report.js';
import { headline, topLines } from '../../../schema/summary.js';
import { lineRows } from '../../../schema/tree/lines.js';
import { foldedFrames } from '../../../schema/tree/model.js';
import { toStaticHtml } from '../../src/output/html.js';
import { toPlainText } from '../../src/output/text.js';
import { buildReport } from '../../src/report/build.js';
import { type Stack, contextOf, outline, snapshotOf, snapshotOfColumns } from './snapshots.js';

const MIB = 2 ** 20;
const CELL = '/tmp/ipykernel_1/123.py';
const cells = new Map([
  [CELL, { filename: CELL, executionCount: 7, source: '%%filprofile\nimport x\n    merged = a.merge(b)\r\nlast\n' }],
]);

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function bytesOfKind(report: Report, kind: string): number {
  const { frame, selfBytes } = report.tree;
  return sum(selfBytes.filter((_, node) => report.frames.kind[frame[node] ?? -1] === kind));
}

describe('the call tree', () => {
  test('is in pre-order with siblings from most bytes to least, and adds up to the byte', () => {
    const report = buildReport(
      snapshotOf([
        { frames: `${CELL}:2 (<module>)`, peakBytes: 1000, currentBytes: 10 },
        { frames: `${CELL}:3 (<module>);/p/a.py:9 (A.f)`, peakBytes: 4001, currentBytes: 4001 },
        { frames: `${CELL}:3 (<module>);/p/a.py:8 (A.f)`, peakBytes: 500 },
        { frames: `${CELL}:3 (<module>)`, peakBytes: 7 },
      ]),
      contextOf({ cells }),
    );
    expect(outline(report)).toEqual([
      '[root] 5508 0',
      '  Cell [7]:3 (<module>) 4508 7',
      '    /p/a.py:9 (A.f) 4001 4001',
      '    /p/a.py:8 (A.f) 500 500',
      '  Cell [7]:2 (<module>) 1000 1000',
    ]);
    expect(report.peakBytes).toBe(5508);
    expect(report.retainedBytes).toBe(4011);
  });

  test('has no lines that held nothing at the peak', () => {
    const report = buildReport(
      snapshotOf([
        { frames: 'a.py:1 (f)', peakBytes: 0, currentBytes: 99 },
        { frames: 'a.py:2 (f)', peakBytes: 5 },
      ]),
      contextOf(),
    );
    expect(outline(report)).toEqual(['[root] 5 0', '  a.py:2 (f) 5 5']);
    expect(report.retainedBytes).toBe(99);
  });

  test('of a cell that allocated nothing is its root', () => {
    const report = buildReport(snapshotOf([]), contextOf());
    expect(outline(report)).toEqual(['[root] 0 0']);
    expect(report.peakBytes).toBe(0);
  });

  test('adds up code objects that a reader cannot tell apart', () => {
    const report = buildReport(
      snapshotOfColumns({
        parent: [0, 0, 0, 1, 2],
        code: [0xffffffff, 0, 1, 2, 3],
        line: [0, 3, 3, 5, 5],
        peak: [0, 1, 2, 10, 20],
        filename: ['a.py', 'a.py', 'b.py', 'b.py'],
        qualifiedName: ['f', 'f', 'g', 'g'],
      }),
      contextOf(),
    );
    expect(outline(report)).toEqual(['[root] 33 0', '  a.py:3 (f) 33 3', '    b.py:5 (g) 30 30']);
    expect(report.frames.kind).toHaveLength(3);
  });

  test('shows memory without a Python stack as such, whether charged to the root or to a site of its own', () => {
    const report = buildReport(
      snapshotOfColumns({
        parent: [0, 0, 0],
        code: [0xffffffff, 0xffffffff, 0],
        line: [0, 0, 4],
        peak: [5, 6, 7],
        filename: ['a.py'],
        qualifiedName: ['f'],
      }),
      contextOf(),
    );
    expect(outline(report)).toEqual(['[root] 18 0', '  [no-python-stack] 11 11', '  a.py:4 (f) 7 7']);
  });

  test('leaves out frames of the machinery that held nothing, and shows those that did', () => {
    const magics = '/v/lib/python3.11/site-packages/IPython/core/magics/execution.py:1330 (ExecutionMagics.time)';
    const report = buildReport(
      snapshotOf([
        { frames: `${CELL}:1 (<module>);${magics};<timed exec>:1 (<module>)`, peakBytes: 900 },
        { frames: `${CELL}:1 (<module>);/v/lib/python3.11/site-packages/IPython/core/x.py:3 (g)`, peakBytes: 90 },
        { frames: '/src/filprofiler/api.py:9 (profile);/home/me/IPython/notes.py:2 (mine)', peakBytes: 8 },
      ]),
      contextOf({ cells }),
    );
    expect(outline(report)).toEqual([
      '[root] 998 0',
      '  Cell [7]:1 (<module>) 990 0',
      '    <timed exec>:1 (<module>) 900 900',
      '    site-packages/IPython/core/x.py:3 (g) 90 90',
      '  /home/me/IPython/notes.py:2 (mine) 8 8',
    ]);
  });

  test('counts what a live snapshot shows as less than nothing as nothing', () => {
    const report = buildReport(
      {
        ...snapshotOf([
          { frames: 'a.py:1 (f)', peakBytes: -16, currentBytes: -16 },
          { frames: 'a.py:2 (f)', peakBytes: 32 },
        ]),
        consistent: false,
      },
      contextOf(),
    );
    expect(report.peakBytes).toBe(32);
    expect(report.retainedBytes).toBe(0);
    expect(report.notes.map((note) => note.code)).toEqual(['live-snapshot']);
  });
});

describe('pruning', () => {
  test('puts what is below 0.05 % of the peak into "other" and says how much that was', () => {
    const stacks: Stack[] = [{ frames: 'a.py:1 (f)', peakBytes: 1_000_000 }];
    for (let line = 2; line < 12; line++) {
      stacks.push({ frames: `a.py:${line} (f)`, peakBytes: 100 });
    }
    const report = buildReport(snapshotOf(stacks), contextOf());
    expect(outline(report)).toEqual(['[root] 1001000 0', '  a.py:1 (f) 1000000 1000000', '  [other] 1000 1000']);
    expect(report.pruned).toEqual({ nodes: 10, bytes: 1000 });
  });

  test('shows 99 % by name even where every line is below 0.05 %', () => {
    const stacks = Array.from({ length: 4000 }, (_, line) => ({ frames: `a.py:${line + 1} (f)`, peakBytes: 64 }));
    const report = buildReport(snapshotOf(stacks), contextOf());
    expect(report.pruned.bytes).toBeLessThanOrEqual(0.01 * report.peakBytes);
    expect(bytesOfKind(report, 'other')).toBe(report.pruned.bytes);
  });

  test('shows more than 5,000 nodes if 99 % takes them, but never more than 20,000', () => {
    const lines = (count: number): Stack[] =>
      Array.from({ length: count }, (_, line) => ({ frames: `a.py:${line + 1} (f)`, peakBytes: 64 }));
    const some = buildReport(snapshotOf(lines(8000)), contextOf());
    expect(some.tree.parent.length).toBeGreaterThan(5000);
    expect(some.pruned.bytes).toBeLessThanOrEqual(0.01 * some.peakBytes);
    const many = buildReport(snapshotOf(lines(50_000)), contextOf());
    expect(many.tree.parent.length).toBeLessThanOrEqual(20_000);
    expect(many.pruned).toEqual({ nodes: 50_001 - 19_999, bytes: (50_001 - 19_999) * 64 });
    expect(sum(many.tree.selfBytes)).toBe(many.peakBytes);
  });

  test('keeps at most 5,000 nodes where they name 99 %', () => {
    const stacks: Stack[] = [{ frames: 'big.py:1 (f)', peakBytes: 10_000 * MIB }];
    // Above 0.05 % each, but so deep that together they are 6,240 nodes.
    for (let branch = 0; branch < 16; branch++) {
      const frames = Array.from({ length: 390 }, (_, level) => `deep.py:${branch * 1000 + level} (g)`).join(';');
      stacks.push({ frames, peakBytes: (branch < 8 ? 10 : 6) * MIB });
    }
    const report = buildReport(snapshotOf(stacks), contextOf());
    expect(report.tree.parent.length).toBeLessThanOrEqual(5000);
    expect(report.pruned.bytes).toBeLessThanOrEqual(0.01 * report.peakBytes);
    expect(report.pruned.bytes).toBeGreaterThan(0);
  });

  test('holds its promises for any tree', () => {
    const anySites = fc.array(
      fc.record({
        parent: fc.double({ min: 0, max: 0.999, noNaN: true }),
        code: fc.nat(9),
        line: fc.nat(5),
        bytes: fc.oneof(fc.nat(50), fc.nat(2 ** 31 - 1)),
      }),
      {
        maxLength: 400,
      },
    );
    fc.assert(
      fc.property(anySites, (sites) => {
        const names = Array.from({ length: 9 }, (_, code) => `f${code % 5}`);
        const snapshot = snapshotOfColumns({
          parent: [0, ...sites.map(({ parent }, index) => Math.floor(parent * (index + 1)))],
          // Code 9 is outside the table: no Python stack.
          code: [0xffffffff, ...sites.map(({ code }) => code)],
          line: [0, ...sites.map(({ line }) => line)],
          peak: [0, ...sites.map(({ bytes }) => bytes)],
          filename: names.map((_, code) => `file${code % 3}.py`),
          qualifiedName: names,
        });
        const report = parseReport(JSON.parse(JSON.stringify(buildReport(snapshot, contextOf()))));
        const { parent, frame, totalBytes, selfBytes } = report.tree;
        const peak = sum(sites.map(({ bytes }) => bytes));
        expect(report.peakBytes).toBe(peak);
        expect(sum(selfBytes)).toBe(peak);
        expect(totalBytes[0]).toBe(peak);
        expect(parent.length).toBeLessThanOrEqual(5000);
        const children = new Map<number, number[]>();
        parent.forEach((above, node) => {
          // Pre-order: a node's parent is the node before it or a caller of that one.
          let before = node - 1;
          while (before >= 0 && before !== above) {
            before = parent[before] ?? -1;
          }
          expect(before).toBe(above);
          children.set(above, [...(children.get(above) ?? []), node]);
        });
        for (const [above, nodes] of children) {
          const totals = nodes.map((node) => totalBytes[node] ?? NaN);
          expect(totals).toEqual([...totals].sort((a, b) => b - a));
          expect(new Set(nodes.map((node) => frame[node])).size).toBe(nodes.length);
          if (above >= 0) {
            expect((selfBytes[above] ?? NaN) + sum(totals)).toBe(totalBytes[above]);
          }
        }
        expect(bytesOfKind(report, 'other')).toBe(report.pruned.bytes);
        expect(report.pruned.bytes).toBeLessThanOrEqual(0.01 * peak);
      }),
      { numRuns: 300 },
    );
  });
});

describe('large ledgers', () => {
  test('stacks of 100,000 levels keep both ends, and lines in between that held memory keep their names', () => {
    const levels = 100_000;
    const sites = Array.from({ length: levels + 1 }, (_, site) => site);
    const report = buildReport(
      snapshotOfColumns({
        parent: sites.map((site) => Math.max(0, site - 1)),
        code: sites.map((site) => (site === 0 ? 0xffffffff : site === 1 ? 0 : site === levels ? 2 : 1)),
        line: sites.map(() => 1),
        peak: sites.map((site) => (site === levels ? MIB : site === 0 ? 0 : 32)),
        filename: ['main.py', 'deep.py', 'leaf.py'],
        qualifiedName: ['main', 'deep', 'leaf'],
      }),
      contextOf(),
    );
    const lines = outline(report);
    expect(lines[1]).toMatch(/^ {2}main\.py:1 \(main\)/);
    expect(lines.at(-1)).toMatch(/leaf\.py:1 \(leaf\) 1048576 1048576$/);
    expect(lines.some((line) => line.includes('[skipped-callers]'))).toBe(true);
    expect(bytesOfKind(report, 'skipped-callers')).toBe(0);
    expect(sum(report.tree.selfBytes)).toBe(report.peakBytes);
    expect(report.pruned.bytes).toBeLessThanOrEqual(0.01 * report.peakBytes);
    expect(report.pruned.nodes).toBeGreaterThan(99_000);
  });

  test('ten times the call sites take about ten times as long, up to a million', () => {
    const secondsFor = (count: number): number => {
      const sites = Array.from({ length: count }, (_, site) => site);
      const snapshot = snapshotOfColumns({
        // Each calls about eight others: a tree some seven levels deep.
        parent: sites.map((site) => (site === 0 ? 0 : Math.floor((site - 1) / 8))),
        code: sites.map((site) => (site === 0 ? 0xffffffff : site % 5000)),
        line: sites.map((site) => (site % 700) + 1),
        peak: sites.map((site) => (site % 1000 === 7 ? MIB : site === 0 ? 0 : 48)),
        filename: Array.from({ length: 5000 }, (_, code) => `/gone/f${code % 300}.py`),
        qualifiedName: Array.from({ length: 5000 }, (_, code) => `f${code}`),
      });
      const began = performance.now();
      const report = buildReport(snapshot, contextOf());
      const seconds = (performance.now() - began) / 1000;
      expect(sum(report.tree.selfBytes)).toBe(report.peakBytes);
      return seconds;
    };
    secondsFor(100_000);
    // Not an absolute time, as machines are shared: a quadratic step would show as a hundredfold.
    expect(secondsFor(1_000_000) / secondsFor(100_000)).toBeLessThan(40);
  });
});

describe('frames', () => {
  test('of a cell carry its number and source lines, of other code its path', () => {
    const report = buildReport(
      snapshotOf([
        { frames: `${CELL}:3 (<module>);<string>:1 (<lambda>)`, peakBytes: 5 },
        { frames: `${CELL}:99 (<module>)`, peakBytes: 2 },
      ]),
      contextOf({ cells }),
    );
    expect(report.frames).toEqual({
      kind: ['root', 'python', 'python', 'python'],
      function: ['', '<module>', '<lambda>', '<module>'],
      file: ['', 'Cell [7]', '<string>', 'Cell [7]'],
      line: [0, 3, 1, 99],
      sourceLine: ['', 'merged = a.merge(b)', '', ''],
      cell: [-1, 7, -1, 7],
    });
  });

  test('carry no characters that act: controls, bidirectional marks, halves of surrogate pairs', () => {
    const name = 'f\u001b[31m\n\ud800x\u202eevil\t😀';
    const report = buildReport(
      snapshotOfColumns({
        parent: [0, 0],
        code: [0xffffffff, 0],
        line: [0, 1],
        peak: [0, 1],
        filename: [`\udfff${'long/'.repeat(1000)}a.py`],
        qualifiedName: [name],
      }),
      contextOf({ title: 'a\u0007b', subject: { kind: 'call', name: 'x\ud800' } }),
    );
    expect(report.frames.function[1]).toBe('f\ufffd[31m\ufffd\ufffdx\ufffdevil 😀');
    expect(report.frames.file[1]).toMatch(/^\ufffdlong\//);
    expect(report.frames.file[1]?.length).toBe(1000);
    expect(report.title).toBe('a\ufffdb');
    expect(report.subject).toEqual({ kind: 'call', name: 'x\ufffd' });
  });
});

describe('notes', () => {
  test('tell every degradation once, and how a process died', () => {
    const report = buildReport(
      { ...snapshotOf([]), degradations: ['call-sites-full', 'stacks-truncated', 'call-sites-full'] },
      contextOf({ outcome: { kind: 'died', exitCode: null, signal: 'SIGKILL' } }),
    );
    expect(report.notes.map((note) => note.code)).toEqual(['process-died', 'call-sites-full', 'stacks-truncated']);
    expect(report.notes[0]?.text).toContain('by signal SIGKILL');
  });
});

describe('mappings', () => {
  // The cell's third line allocates, and calls a library that maps a file and shared memory.
  const report = buildReport(
    snapshotOfColumns({
      parent: [0, 0, 0, 2, 3, 3],
      code: [0xffffffff, 0xffffffff, 0, 1, 2, 3],
      line: [0, 0, 3, 9, 0, 0],
      peak: [0, 0, 1 * MIB, 2 * MIB, 10 * MIB, 4 * MIB],
      filename: [CELL, '/v/lib/python3.11/site-packages/numpy/memmap.py', '/data/<b>.bin', 'psm_1'],
      qualifiedName: ['<module>', 'memmap.__new__', '', ''],
      kind: ['python', 'python', 'mapped-file', 'shared-memory'],
    }),
    contextOf({ cells }),
  );

  test('are frames of their own below the line that mapped them', () => {
    expect(outline(report)).toEqual([
      `[root] ${17 * MIB} 0`,
      `  Cell [7]:3 (<module>) ${17 * MIB} ${MIB}`,
      `    site-packages/numpy/memmap.py:9 (memmap.__new__) ${16 * MIB} ${2 * MIB}`,
      `      [mapped-file] ${10 * MIB} ${10 * MIB}`,
      `      [shared-memory] ${4 * MIB} ${4 * MIB}`,
    ]);
    expect(report.frames.file.slice(-2)).toEqual(['/data/<b>.bin', 'psm_1']);
    expect(parseReport(report)).toEqual(report);
  });

  test('are not folded into the library that mapped them', () => {
    expect(foldedFrames(report).map(({ frame, value }) => [frame.kind, value / MIB])).toEqual([
      ['root', 17],
      ['python', 17],
      ['python', 16],
      ['mapped-file', 10],
      ['shared-memory', 4],
    ]);
  });

  test("count for the user's line, which says how much of it is mapped", () => {
    const mapped = { fileBytes: 10 * MIB, sharedBytes: 4 * MIB };
    expect(topLines(report, 10)).toMatchObject([{ bytes: 17 * MIB, mapped }]);
    const [row] = lineRows(foldedFrames(report), ({ frame }) => frame.cell >= 0);
    expect(row).toMatchObject({ ownBytes: 17 * MIB, mapped });
    const words = 'Of the peak 10.0 MiB mapped files, 4.0 MiB shared memory.';
    expect(headline(report).at(-1)).toEqual([{ kind: 'soft', text: words }]);
    expect(toPlainText(report)).toContain(words);
    const still = toStaticHtml(report);
    expect(still).toContain('line 3, 10.0 MiB mapped files, 4.0 MiB shared memory');
    expect(still).toContain('mapped file  /data/&lt;b&gt;.bin  10.0 MiB');
  });
});

test('resident memory is in the report, and beside the peak in every form', () => {
  const resident = { peakBytes: 102 * MIB, isExact: true, endBytes: 100 * MIB };
  const report = buildReport(snapshotOf([{ frames: `${CELL}:3 (<module>)`, peakBytes: MIB }]), contextOf({ resident }));
  expect(parseReport(report).resident).toEqual(resident);
  const words = 'grew by 2.0 MiB to 102.0 MiB at most, 1.0 MiB more than is tracked';
  expect(toPlainText(report)).toContain(words);
  expect(toStaticHtml(report)).toContain(words);
});
