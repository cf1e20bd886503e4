/**
 * Reports that a notebook brings along, from anywhere: no kernel runs.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect, type Page, test } from '@playwright/test';
import { toMimeBundle } from '../kernel/src/output/bundle.js';
import { largeReport } from '../schema/fixtures/large-report.js';
import type { Observed } from '../schema/observed.js';
import { REPORT_MIME_TYPE, type ReportEnvelope } from '../schema/report.js';
import { EffortMeter, judge } from './effort.js';
import { collectErrors, frame, openInLab } from './lab.js';
import { EXTENSION, JUPYTER, NOTEBOOKS } from './lab-server.js';
import { unreadable } from './contrast.js';
import { fixture, writeNotebook, writeReports } from './notebooks.js';

test.describe.configure({ mode: 'serial' });

const HOSTILE = '<img src=x onerror="window.hacked = true"><script>window.hacked = true</script>';

let page: Page;
let errors: string[];

test.beforeAll(async ({ browser }) => {
  page = await browser.newPage();
  errors = collectErrors(page);
});

test.afterAll(async () => {
  await page.close();
});

test('an untrusted notebook shows its reports', async () => {
  writeReports('stored.ipynb', [fixture('pandas'), fixture('small')]);
  await openInLab(page, 'stored.ipynb');
  await expect(page.locator('.fil-report')).toHaveCount(2);
  expect(
    await page.evaluate(() => window.jupyterapp.shell.currentWidget?.content.widgets.map(({ model }) => model.trusted)),
  ).toEqual([false, false]);
  const report = page.locator('.fil-report').first();
  await expect(report.locator('.fil-headline')).toContainText('Peak 1.9 GiB on top of 512.0 MiB in use before');
  await report.getByText('About these figures').click();
  await expect(report.locator('.fil-pruned').first()).toContainText('40 frames too small to show are left out');
  await expect(frame(report, 'NDFrame.copy pandas')).toBeVisible();
});

test('code in names, source lines and titles is shown, never run', async () => {
  const report = fixture('small');
  const { frames } = report;
  const hostile = {
    ...report,
    title: HOSTILE,
    frames: {
      ...frames,
      function: frames.function.map(() => HOSTILE),
      sourceLine: frames.sourceLine.map(() => HOSTILE),
      file: frames.file.map(() => HOSTILE),
      cell: frames.cell.map(() => -1),
    },
  };
  const variable = { names: [HOSTILE], type: HOSTILE, bytes: 2 ** 27, isWhole: true, cell: 1, line: 1 };
  const clue = { kind: 'object-columns' as const, names: [HOSTILE], rows: 1, bytes: 2 ** 27, columnCount: 1 };
  const column = { name: HOSTILE, bytes: 2 ** 27, distinctCount: 1, categoryBytes: 1 };
  const observed: Observed = { variables: [variable], clues: [{ ...clue, columns: [column] }] };
  writeReports('hostile.ipynb', [{ ...hostile, observed }]);
  await openInLab(page, 'hostile.ipynb');
  await expect(page.locator('.fil-title')).toHaveText(HOSTILE);
  await page.locator('.fil-report g.frame').nth(1).hover();
  await expect(page.locator('.fil-tooltip:visible')).toContainText(HOSTILE);
  await expect(page.locator('.fil-split-legend')).toContainText(HOSTILE);
  await expect(page.locator('.fil-finding')).toContainText(HOSTILE);
  expect(await page.evaluate(() => 'hacked' in window)).toBe(false);
  await expect(page.locator('.fil-report img, .fil-tooltip img')).toHaveCount(0);
});

test('what cannot be read is said in place of the picture, with the text form below', async () => {
  const bundle = toMimeBundle(fixture('small'));
  const envelope = bundle[REPORT_MIME_TYPE] as ReportEnvelope;
  const changed = (changes: Record<string, unknown>): Record<string, unknown> => ({
    ...bundle,
    [REPORT_MIME_TYPE]: { ...envelope, ...changes },
  });
  writeNotebook('unreadable.ipynb', [
    changed({ version: 99 }),
    changed({ data: envelope.data.slice(0, 400) }),
    changed({ data: '???' }),
    { ...bundle, [REPORT_MIME_TYPE]: [] },
    bundle,
  ]);
  await openInLab(page, 'unreadable.ipynb');
  const messages = page.locator('.fil-unreadable');
  await expect(messages).toHaveCount(4);
  await expect(messages.nth(0)).toContainText('This report has version 99');
  await expect(messages.nth(1)).toContainText('Profile again');
  await expect(messages.nth(2)).toContainText('not base64');
  for (const message of await messages.all()) {
    await expect(message.locator('pre')).toContainText('Peak 150.0 MiB');
  }
  await expect(page.locator('.fil-report:not(.fil-unreadable)')).toHaveCount(1);
});

test('reports that are too large, or pretend to be small, are refused without harm', async () => {
  const bundle = toMimeBundle(fixture('small'));
  const envelope = bundle[REPORT_MIME_TYPE] as ReportEnvelope;
  const packed = (bytes: Uint8Array): Record<string, unknown> => ({
    ...bundle,
    [REPORT_MIME_TYPE]: { ...envelope, data: Buffer.from(bytes).toString('base64') },
  });
  const large = toMimeBundle(largeReport(50_000));
  const { data } = large[REPORT_MIME_TYPE] as ReportEnvelope;
  expect(data.length).toBeGreaterThan(300_000);
  const deep = structuredClone(fixture('small'));
  const levels = 3000;
  deep.tree = {
    parent: Array.from({ length: levels }, (_, node) => node - 1),
    frame: Array.from({ length: levels }, (_, node) => (node === 0 ? 0 : 1)),
    totalBytes: Array.from({ length: levels }, () => deep.peakBytes),
    selfBytes: Array.from({ length: levels }, (_, node) => (node === levels - 1 ? deep.peakBytes : 0)),
  };
  writeNotebook('bombs.ipynb', [
    packed(gzipSync(Buffer.alloc(200 * 2 ** 20))),
    // Large enough for the browser's own decompressor.
    packed(gzipSync(Buffer.concat([randomBytes(300_000), Buffer.alloc(200 * 2 ** 20)]))),
    { ...large, [REPORT_MIME_TYPE]: { ...envelope, data: data.slice(0, -4000) } },
    { ...large, [REPORT_MIME_TYPE]: { ...envelope, data: `${data.slice(0, 200_000)}!${data.slice(200_001)}` } },
    toMimeBundle(deep),
    bundle,
  ]);
  await openInLab(page, 'bombs.ipynb');
  const messages = page.locator('.fil-unreadable');
  await expect(messages).toHaveCount(5);
  await expect(messages).toContainText([
    'larger than 64 MiB unpacked',
    'larger than 64 MiB unpacked',
    "can't be unpacked",
    'not base64',
    'levels',
  ]);
  for (const message of await messages.all()) {
    await expect(message.locator('pre')).toContainText('Peak ');
  }
  await expect(page.locator('.fil-report:not(.fil-unreadable)')).toHaveCount(1);
});

for (const [nodes, most] of [
  [5_000, 300],
  [100_000, 1000],
] as const) {
  test(`a report of ${nodes} nodes is drawn within ${most} ms, the first time`, { tag: '@speed' }, async () => {
    const meter = await EffortMeter.of(page);
    writeReports('large.ipynb', [fixture('small')]);
    await openInLab(page, 'large.ipynb');
    await expect(page.locator('.fil-report')).toHaveCount(1);
    const measured = await meter.during(page, () =>
      page.evaluate(
        async ([mimeType, data]) => {
          const rendermime = window.jupyterapp.shell.currentWidget?.content.rendermime;
          const output = document.querySelector('.jp-OutputArea-output');
          if (rendermime === undefined || output === null) {
            throw new Error('There is no output to draw in.');
          }
          const renderer = rendermime.createRenderer(mimeType);
          output.append(renderer.node);
          await renderer.renderModel(rendermime.createModel({ data, trusted: false }));
          // The picture is there when the frame after the one that it was drawn in begins.
          await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
          if (renderer.node.querySelectorAll('g.frame').length < 5) {
            throw new Error('The picture is not there.');
          }
          renderer.dispose();
          renderer.node.remove();
        },
        [REPORT_MIME_TYPE, toMimeBundle(largeReport(nodes))] as const,
      ),
    );
    const what = `${nodes.toLocaleString('en-US')} nodes in Lab: drawn for the first time`;
    judge({ what, measured, most, unit: 'ms' });
  });
}

test('what Lab loads at its start is small', { tag: '@speed' }, () => {
  const folder = join(EXTENSION, 'static');
  const scripts = readdirSync(folder)
    .filter((name) => name.endsWith('.js'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    // Loaded when somebody saves a report as a page.
    .filter((text) => !text.includes('<!doctype html>'));
  const bytes = scripts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  judge({ what: "the extension's scripts, not compressed", measured: bytes / 1000, most: 300, unit: 'KB' });
});

test('without the extension, Lab shows the still form of an untrusted notebook', async () => {
  const bundle = toMimeBundle(fixture('pandas'));
  const still = await page.evaluate(
    async ([html]) => {
      const rendermime = window.jupyterapp.shell.currentWidget?.content.rendermime;
      const renderer = rendermime?.createRenderer('text/html');
      const output = document.querySelector('.jp-OutputArea-output');
      if (rendermime === undefined || renderer === undefined || output === null) {
        throw new Error('There is no output to draw in.');
      }
      output.append(renderer.node);
      await renderer.renderModel(rendermime.createModel({ data: { 'text/html': html }, trusted: false }));
      const boxes = Array.from(renderer.node.querySelectorAll<HTMLElement>('li > div'));
      const colours = boxes.map((box) => getComputedStyle(box).backgroundColor);
      const levels = new Set(boxes.map((box) => box.offsetTop));
      return {
        rows: renderer.node.querySelectorAll('tr').length,
        boxes: boxes.length,
        levels: levels.size,
        colours,
      };
    },
    [bundle['text/html']] as const,
  );
  expect(still.rows).toBe(4);
  expect(still.boxes).toBeGreaterThan(20);
  expect(still.levels).toBe(8);
  expect(still.colours).not.toContain('rgba(0, 0, 0, 0)');
});

test('nbconvert makes a page with the still form, which also prints', async () => {
  writeReports('converted.ipynb', [fixture('pandas')]);
  execFileSync(JUPYTER, ['nbconvert', '--to', 'html', '--log-level', 'ERROR', 'converted.ipynb'], { cwd: NOTEBOOKS });
  await page.goto(pathToFileURL(join(NOTEBOOKS, 'converted.html')).href);
  await expect(page.getByRole('row', { name: /1\.2 GiB 63 % line 3/ })).toBeVisible();
  await expect(page.getByText('DataFrame.merge').first()).toBeVisible();
  await expect(page.getByText('Without .copy() there would be 410.0 MiB less')).toBeVisible();
  expect(await unreadable(page.locator('.jp-OutputArea-output'))).toEqual([]);
  await page.screenshot({ path: test.info().outputPath('nbconvert.png') });
  // As nbconvert's webpdf does.
  const pdf = await page.pdf({ path: test.info().outputPath('nbconvert.pdf') });
  expect(pdf.subarray(0, 4).toString()).toBe('%PDF');
});

test('nbviewer, which lets nbconvert sanitize, shows the table and the stacks as a tree, and no tags of ours as text', async () => {
  writeReports('viewed.ipynb', [fixture('pandas')]);
  const options = ['--to', 'html', '--HTMLExporter.sanitize_html=True', '--log-level', 'ERROR'];
  execFileSync(JUPYTER, ['nbconvert', ...options, 'viewed.ipynb'], { cwd: NOTEBOOKS });
  await page.goto(pathToFileURL(join(NOTEBOOKS, 'viewed.html')).href);
  const output = page.locator('.jp-OutputArea-output');
  await expect(output.getByRole('row', { name: /1\.2 GiB 63 % line 3/ })).toBeVisible();
  await expect(output.locator('ul ul li').filter({ hasText: 'DataFrame.merge' }).first()).toBeVisible();
  // The sanitizer itself adds `tbody` to every table and then refuses it, pandas' tables as well.
  const text = ((await output.textContent()) ?? '').replace('<tbody></tbody>', '');
  expect(text).not.toMatch(/<\/?\w/);
  await output.screenshot({ path: test.info().outputPath('nbviewer.png') });
});

test('GitHub, which removes styles and what it does not know, shows the table and the stacks as a tree', async () => {
  const html = String(toMimeBundle(fixture('pandas'))['text/html']);
  await page.setContent(`<main style="font: 14px sans-serif; width: 900px">${html}</main>`);
  await page.evaluate(
    (kept) => {
      // The elements and attributes that GitHub's sanitizer lets pass (html-pipeline's allow-list), of those that we use.
      for (const node of document.querySelectorAll('main *')) {
        for (const { name } of Array.from(node.attributes)) {
          if (!kept.attributes.includes(name)) {
            node.removeAttribute(name);
          }
        }
        if (!kept.elements.includes(node.localName)) {
          node.replaceWith(...node.childNodes);
        }
      }
    },
    {
      attributes: ['title', 'open', 'colspan', 'align'],
      elements: 'div span b code table tr td ul li'.split(' '),
    },
  );
  await expect(page.getByRole('row', { name: /1\.2 GiB 63 % line 3/ })).toBeVisible();
  const left = async (text: RegExp): Promise<number> =>
    (await page.locator('li > div').filter({ hasText: text }).first().boundingBox())?.x ?? NaN;
  expect(await left(/^line 3/)).toBeGreaterThan(await left(/^Cell \[7\]/));
  expect(await left(/^DataFrame\.merge/)).toBeGreaterThan(await left(/^line 2/));
  await page.screenshot({ path: test.info().outputPath('github.png'), fullPage: true });
});

test('a PDF by LaTeX has the lines as text, in which no command of LaTeX works', () => {
  const report = fixture('pandas');
  const command = '\\end{Verbatim}\\input{secret}';
  const frames = { ...report.frames, sourceLine: report.frames.sourceLine.map((text) => `${command} ${text}`) };
  writeReports('printed.ipynb', [{ ...report, frames }]);
  execFileSync(JUPYTER, ['nbconvert', '--to', 'latex', '--log-level', 'ERROR', 'printed.ipynb'], { cwd: NOTEBOOKS });
  const latex = readFileSync(join(NOTEBOOKS, 'printed.tex'), 'utf8');
  expect(latex).toMatch(/Peak 1\.9 GiB on top of 512\.0 MiB in use before/);
  expect(latex).toMatch(/1\.2 GiB\s+63\s+.*line 3/);
  expect(latex).toContain('end\\{Verbatim\\}');
  expect(latex).not.toContain(command);
});

test('nothing complained in the meantime', () => {
  expect(errors).toEqual([]);
});
