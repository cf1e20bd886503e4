/**
 * The flamegraphs that are files of their own, opened from the disk.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, type Page, test } from '@playwright/test';
import { writeReportFiles } from '../kernel/src/output/files.js';
import { ReportSource } from '../kernel/src/report/build.js';
import { largeReport } from '../schema/fixtures/large-report.js';
import { sampledReport } from '../schema/fixtures/sampled-report.js';
import type { Report } from '../schema/report.js';
import { collectErrors } from './lab.js';
import { PAGE_TEMPLATE } from './lab-server.js';
import { fixture } from './notebooks.js';

const built = (name: string): string => readFileSync(path.join(path.dirname(PAGE_TEMPLATE), name), 'utf8');
const parts = { page: built('report.html'), picture: { style: built('picture.css'), script: built('picture.js') } };

async function open(page: Page, report: Report, name: string): Promise<void> {
  const directory = test.info().outputPath('report');
  expect(writeReportFiles(directory, ReportSource.ofReport(report), { parts }).problems).toEqual([]);
  await page.goto(pathToFileURL(path.join(directory, name)).href);
}

const shown = '#frames > g:not([display=none])';

for (const name of ['peak-memory.svg', 'peak-memory-reversed.svg']) {
  test(`${name} zooms, resets, searches and tells, and loads nothing`, async ({ page }) => {
    const requests: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    const errors = collectErrors(page);
    await open(page, fixture('pandas'), name);
    expect(await page.evaluate(() => document.documentElement.tagName)).toBe('svg');
    await expect(page.locator('svg > title')).toHaveText('Peak Tracked Memory Usage (1.9 GiB)');

    const second = page.locator(`#frames > g[data-d="1"]`).nth(1);
    const before = await second.boundingBox();
    await second.hover({ position: { x: 4, y: 4 } });
    await expect(page.locator('#tooltip')).toBeVisible();
    await expect(page.locator('#tooltip')).toContainText('%');
    await expect(page.locator('#reset')).toBeHidden();
    await second.click({ position: { x: 4, y: 4 } });
    const zoomed = await second.boundingBox();
    expect(zoomed?.width).toBeGreaterThan(1.2 * (before?.width ?? Infinity));
    await page.screenshot({ path: test.info().outputPath('zoomed.png') });
    await page.locator('#reset').click();
    await expect(page.locator('#reset')).toBeHidden();
    expect(await second.boundingBox()).toEqual(before);

    await page.getByPlaceholder('Search').fill('take_nd');
    await expect(page.locator('#details')).toHaveText(/^\d+ frames?, \d+\.\d %$/);
    expect(await page.locator('#frames > g.match').count()).toBeGreaterThan(0);
    await page.screenshot({ path: test.info().outputPath('searched.png') });
    await page.getByPlaceholder('Search').fill('no such function');
    await expect(page.locator('#details')).toHaveText('not found');
    expect(requests).toEqual([page.url()]);
    expect(errors).toEqual([]);
  });
}

test('a picture of a sampled report tells what a search found with the interval of the sum', async ({ page }) => {
  await open(page, sampledReport(fixture('pandas')), 'peak-memory.svg');
  await page.getByPlaceholder('Search').fill('take_nd');
  await expect(page.locator('#details')).toHaveText(/^\d+ frames?, [\d.]+ [MG]iB \(± [\d.]+ %\), \d+\.\d %$/);
  await page.screenshot({ path: test.info().outputPath('sampled.png') });
});

test('a picture takes the width of its window', async ({ page }) => {
  await page.setViewportSize({ width: 900, height: 700 });
  await open(page, fixture('pandas'), 'peak-memory.svg');
  const root = page.locator('#frames > g').first();
  expect((await root.boundingBox())?.width).toBeCloseTo(900 - 16, -1);
  await page.setViewportSize({ width: 1500, height: 700 });
  await expect.poll(async () => (await root.boundingBox())?.width).toBeGreaterThan(1400);
});

test('a picture of thousands of frames is drawn and zooms at once', async ({ page }) => {
  await open(page, largeReport(20_000), 'peak-memory.svg');
  await expect(page.locator(shown).first()).toBeVisible();
  const milliseconds = await page.evaluate(async () => {
    const began = performance.now();
    document
      .querySelectorAll('#frames > g')[1]
      ?.querySelector('rect')
      ?.dispatchEvent(new MouseEvent('click', { bubbles: true }));
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    return performance.now() - began;
  });
  console.log(`zoom in a picture: ${milliseconds.toFixed(0)} ms`);
  expect(milliseconds).toBeLessThan(500);
});

test('names that are markup are text in a picture, and run nothing', async ({ page }) => {
  const report = fixture('small');
  const hostile = `</title><script>window.hacked = 1</script>"'&]]><img xmlns="http://www.w3.org/1999/xhtml" src="x" onerror="window.hacked = 1"/>`;
  const frames = { ...report.frames, function: report.frames.function.map(() => hostile) };
  await open(
    page,
    { ...report, title: hostile, frames, subject: { kind: 'program', command: [hostile] } },
    'peak-memory.svg',
  );
  await expect(page.locator(shown).first()).toBeVisible();
  expect(await page.evaluate(() => 'hacked' in window)).toBe(false);
  await expect(page.locator('#frames > g').nth(1).locator('title')).toContainText(hostile);
});

test('a page tells what was run, with which versions, and how to read it', async ({ page }) => {
  await open(
    page,
    { ...fixture('pandas'), subject: { kind: 'program', command: ['python', 'train.py', '--n=3'] } },
    'index.html',
  );
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Peak Tracked Memory Usage (1.9 GiB)');
  const about = page.locator('.fil-about');
  await expect(about).toContainText('Command');
  await expect(about).toContainText('python train.py --n=3');
  await expect(about).toContainText(/Fil \d.*Python 3/);
  await about.getByText('How to read this report').click();
  await expect(about).toContainText('The reversed flamegraph');
  await page.screenshot({ path: test.info().outputPath('page.png'), fullPage: true });
});

test('a page with an earlier report shows the difference from the start', async ({ page }) => {
  const { toHtmlPage } = await import('../kernel/src/output/page.js');
  const file = test.info().outputPath('diff.html');
  const report = fixture('pandas');
  writeFileSync(
    file,
    toHtmlPage(report, { template: parts.page, before: { label: 'before.json', report: fixture('small') } }),
  );
  await page.goto(pathToFileURL(file).href);
  await expect(page.locator('.fil-differential')).toBeVisible();
  await expect(page.locator('.fil-compared')).toContainText('Compared with before.json');
  await page.screenshot({ path: test.info().outputPath('diff.png') });
});
