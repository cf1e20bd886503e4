import { readFileSync } from 'node:fs';
import { gunzipSync } from 'fflate';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { largeReport } from '../../../schema/fixtures/large-report.js';
import { sampledReport } from '../../../schema/fixtures/sampled-report.js';
import { parseReport, type Report, REPORT_MIME_TYPE, ReportEnvelope } from '../../../schema/report.js';
import { toMimeBundle } from '../../src/output/bundle.js';
import { packReport } from '../../src/output/envelope.js';
import { toHtmlPage } from '../../src/output/page.js';
import { buildReport } from '../../src/report/build.js';
import { contextOf, snapshotOfColumns } from '../report/snapshots.js';

const TEMPLATE =
  '<title><!--fil:title--></title><main><!--fil:static--></main><script type="application/json"><!--fil:report--></script>';

function fixture(name: string): Report {
  return parseReport(JSON.parse(readFileSync(new URL(`../../../schema/fixtures/${name}.json`, import.meta.url), 'utf8')));
}

function forms(report: Report): { envelope: ReportEnvelope; html: string; text: string } {
  const bundle = toMimeBundle(report);
  expect(Object.keys(bundle)).toEqual([REPORT_MIME_TYPE, 'text/html', 'text/plain']);
  return {
    envelope: ReportEnvelope.parse(bundle[REPORT_MIME_TYPE]),
    html: String(bundle['text/html']),
    text: String(bundle['text/plain']),
  };
}

function unpacked(envelope: ReportEnvelope): Report {
  const json: unknown = JSON.parse(new TextDecoder().decode(gunzipSync(Buffer.from(envelope.data, 'base64'))));
  return parseReport(json);
}

/** A report all of whose texts are the given one. */
function hostileReport(text: string): Report {
  const report = buildReport(
    snapshotOfColumns({
      parent: [0, 0, 1, 0],
      code: [0xffffffff, 0, 1, 2],
      line: [0, 1, 2, 3],
      peak: [0, 1000, 2000, 4000],
      filename: ['/c.py', text, '/d.py'],
      qualifiedName: [text, text, text],
    }),
    contextOf({
      title: text,
      subject: { kind: 'program', command: [text] },
      cells: new Map([['/c.py', { filename: '/c.py', executionCount: 2, source: text }]]),
    }),
  );
  return { ...report, notes: [{ code: 'process-died', text: Buffer.from(text).toString() }] };
}

/** Names of the elements in HTML, and whatever else begins with "<". */
function elementsIn(html: string): Set<string> {
  return new Set(Array.from(html.matchAll(/<\/?([^\s>]*)/g), (match) => match[1] ?? ''));
}

const OUR_ELEMENTS = new Set('div span b code table tr td ul li'.split(' '));
const HOSTILE = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "' onmouseover='alert(1)",
  '</title></script><!--',
  '<!--fil:report-->',
  '$& $1 $` $\'',
  '&lt;b&gt;',
  '\ud800 half a pair',
  'e\u0301 \u{1f600} \u202e',
];

describe('the packed form', () => {
  test('unpacks to the very same report', () => {
    for (const report of [fixture('small'), fixture('pandas'), largeReport(5000)]) {
      expect(unpacked(packReport(report))).toEqual(report);
    }
  });

  test('is the same for the same report, and tells the peak', () => {
    const report = fixture('small');
    expect(packReport(report)).toEqual(packReport(structuredClone(report)));
    expect(packReport(report).peakBytes).toBe(report.peakBytes);
  });

  test('of a sampled report tells between what the peak lies, for who does not unpack it', () => {
    const { peakBytes, peakInterval } = packReport(sampledReport(fixture('pandas')));
    expect(peakInterval?.lowBytes).toBeLessThan(peakBytes);
    expect(peakInterval?.highBytes).toBeGreaterThan(peakBytes);
    expect(packReport(fixture('pandas'))).not.toHaveProperty('peakInterval');
  });

  test('of 5,000 nodes has less than 200 KB', () => {
    expect(packReport(largeReport(5000)).data.length).toBeLessThan(200_000);
  });
});

describe('plain text', () => {
  test('has the headline and the top lines, most bytes first', () => {
    expect(forms(fixture('small')).text.split('\n')).toEqual([
      'Peak 150.0 MiB: 100.0 MiB is kept, 50.0 MiB was temporary.',
      '67 % at line 2: x = np.ones((100, 2**20), "b")',
      '250 ms',
      '',
      '  100.0 MiB    67 %  line 2  x = np.ones((100, 2**20), "b")',
      '   50.0 MiB    33 %  load  helpers.py:12',
    ]);
  });

  test('stays below a kilobyte of UTF-8, whatever the names are', () => {
    for (const text of ['x'.repeat(5000), '\u{1f600}'.repeat(2000), 'ß\n'.repeat(500)]) {
      expect(Buffer.byteLength(forms(hostileReport(text)).text)).toBeLessThan(1024);
    }
    expect(Buffer.byteLength(forms(largeReport(5000)).text)).toBeLessThan(1024);
  });

  test('says so if nothing was allocated', () => {
    const nothing = buildReport(snapshotOfColumns({ parent: [0], code: [0], line: [0], peak: [0], filename: [], qualifiedName: [] }), contextOf());
    expect(forms(nothing).text).toBe('No memory was allocated\n1.5 s');
    expect(elementsIn(forms(nothing).html)).toEqual(new Set(['div', 'b', 'span']));
  });
});

describe('static HTML', () => {
  test('has a table of the top lines and a flamegraph, without script or style sheet', () => {
    const { html } = forms(fixture('pandas'));
    expect(elementsIn(html)).toEqual(OUR_ELEMENTS);
    expect(html).toContain('<b>Peak 1.9 GiB</b>');
    expect(html).toContain('<code>late = merged[merged.dep_delay &gt; 15].copy().sort_values(&quot;dep_delay&quot;)</code>');
    expect(html.match(/position: absolute/g)?.length).toBeGreaterThan(20);
  });

  test('of a sampled report has no figure that looks exact', () => {
    const { html, text } = forms(sampledReport(fixture('pandas')));
    const labels = Array.from(html.matchAll(/<div title="[^"]*" style="position[^"]*">([^<]*)<\/div>/g), (match) => match[1] ?? '');
    expect(labels.length).toBeGreaterThan(20);
    expect(labels.filter((label) => !/≈ [\d.]+ [KMG]?i?B$/.test(label))).toEqual([]);
    expect(labels.join()).toContain('≈ 410.0 MiB');
    for (const line of text.split('\n').filter((each) => /^ +[\d.]+ [KMG]iB/.test(each))) {
      expect(line).toMatch(/± |between/);
    }
  });

  test('of 5,000 nodes draws at most 120 frames, in less than 60 KB', () => {
    const { html } = forms(largeReport(5000));
    expect(html.match(/position: absolute/g)?.length).toBeLessThanOrEqual(120);
    expect(html.length).toBeLessThan(60_000);
  });

  test('frames lie inside their callers', () => {
    const { html } = forms(largeReport(5000));
    const boxes = Array.from(html.matchAll(/left: ([\d.]+)%; top: (\d+)px; width: ([\d.]+)%/g), (match) => ({
      left: Number(match[1]),
      level: Number(match[2]) / 21,
      right: Number(match[1]) + Number(match[3]),
    }));
    for (const box of boxes.filter(({ level }) => level > 0)) {
      expect(
        boxes.some(({ left, right, level }) => level === box.level - 1 && left <= box.left + 0.02 && right >= box.right - 0.02),
      ).toBe(true);
    }
  });
});

describe('text that user code can influence', () => {
  test.each(HOSTILE)('%j is shown as text in every form', (text) => {
    const report = hostileReport(text);
    const { envelope, html } = forms(report);
    expect(unpacked(envelope)).toEqual(report);
    expect(Array.from(elementsIn(html)).filter((name) => !OUR_ELEMENTS.has(name))).toEqual([]);
    for (const [, attributes = ''] of html.matchAll(/<(?:div|span)([^>]*)>/g)) {
      expect(attributes.replace(/ (title|style)="[^"]*"/g, '')).toBe('');
    }
    const page = toHtmlPage(report, { template: TEMPLATE });
    expect(page).not.toContain('<script>alert');
    expect(page).not.toContain('<img');
    const data = /<script type="application\/json">(.*)<\/script>$/.exec(page)?.[1] ?? '';
    expect(unpacked(ReportEnvelope.parse(JSON.parse(data)))).toEqual(report);
  });

  test('never breaks out of the HTML, for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('<', '>', '"', "'", '&', '!', '-', '/', 'a', '$', '\ud83d', '\ude00', '\n') }), (text) => {
        const { html, envelope } = forms(hostileReport(text));
        expect(Array.from(elementsIn(html)).filter((name) => !OUR_ELEMENTS.has(name))).toEqual([]);
        // eslint-disable-next-line @typescript-eslint/no-misused-spread -- code points are what is meant
        expect([...html].some((character) => /^[\ud800-\udfff]$/.test(character))).toBe(false);
        expect(() => unpacked(envelope)).not.toThrow();
      }),
      { numRuns: 200 },
    );
  });
});

test('a template without a place for the report is an error that says what to do', () => {
  expect(() => toHtmlPage(fixture('small'), { template: '<html></html>' })).toThrow('npm run build:view');
});
