/**
 * The main job, from end to end: the example's cells run on our kernel, and their reports are read.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, type Locator, type Page, test } from '@playwright/test';
import { unreadable } from './contrast.js';
import { collectErrors, command, frame, kernelIdle, openInLab, setTheme, widthOf } from './lab.js';
import { EXAMPLE, IMAGES, NOTEBOOKS } from './lab-server.js';

test.describe.configure({ mode: 'serial' });

let page: Page;
let errors: string[];
/** Report of the first profiled cell. */
let report: Locator;

test.beforeAll(async ({ browser }) => {
  copyFileSync(EXAMPLE, join(NOTEBOOKS, 'flights.ipynb'));
  mkdirSync(IMAGES, { recursive: true });
  page = await browser.newPage();
  errors = collectErrors(page);
  report = page.locator('.fil-report').first();
  await openInLab(page, 'flights.ipynb');
  await kernelIdle(page);
});

test.afterAll(async () => {
  await command(page, 'kernelmenu:shutdown').catch(() => undefined);
  await page.close();
});

test('running the example shows a report under each profiled cell', async () => {
  await command(page, 'editmenu:clear-all');
  await expect(page.locator('.fil-report')).toHaveCount(0);
  await command(page, 'notebook:run-all-cells');
  await expect(page.locator('.fil-report')).toHaveCount(2);
  await kernelIdle(page);
  await expect(report.locator('.fil-headline')).toContainText(
    /Peak [\d.]+ [KMG]iB on top of [\d.]+ [MG]iB in use before: .* is kept, .* was temporary\./,
  );
  await expect(report.locator('.fil-headline')).toContainText(/\d\d % at line [23]: everything = /);
  await expect(report.locator('.fil-subline')).toContainText(/ · up to [\d.]+ % of this (container|machine)'s /);
  await expect(report.locator('.fil-split-legend')).toContainText(/in use before [\d.]+ MiB \(flights/);
  await expect(frame(report, /^Cell \[\d+\]/)).toBeVisible();
  await expect(frame(report, /line 3\s+everything = everything\.merge\(/)).toBeVisible();
});

test('the second try holds less than the first', async () => {
  const megabytes = await page.locator('.fil-report .fil-headline strong').allTextContents();
  const [first = 0, second = 0] = megabytes.map((text) => Number(/Peak ([\d.]+) MiB/.exec(text)?.[1]));
  expect(first).toBeGreaterThan(100);
  expect(second).toBeLessThan(first / 2);
});

test('frames are as wide as their share, and redder the wider', async () => {
  const root = frame(report, /^Cell \[\d+\]/);
  const line = frame(report, /line 3\s+everything/);
  const share = /(\d\d) % at line 3/.exec((await report.locator('.fil-headline').textContent()) ?? '')?.[1];
  expect((100 * (await widthOf(line))) / (await widthOf(root))).toBeCloseTo(Number(share), -0.7);
  expect(Number(await root.getAttribute('data-heat'))).toBeGreaterThan(Number(await line.getAttribute('data-heat')));
});

test('one click unfolds what libraries did', async () => {
  await expect(frame(report, /merge pandas \d+ frames folded/)).toBeVisible();
  await expect(frame(report, /reindex_and_concat/)).toHaveCount(0);
  await report.getByRole('checkbox', { name: 'fold library frames' }).uncheck();
  await expect(frame(report, /reindex_and_concat/)).toBeVisible();
});

test('hovering tells bytes, share, function, file, line and source line', async () => {
  await frame(report, /reindex_and_concat/).hover();
  const tip = page.locator('.fil-tooltip:visible');
  await expect(tip).toContainText('_MergeOperation._reindex_and_concat');
  await expect(tip).toContainText(/pandas\/core\/reshape\/merge\.py:\d+/);
  await expect(tip.locator('.fil-tip-source')).toHaveText(/\w/);
  await expect(tip).toContainText(/[\d.]+ MiB · \d+ % of the peak/);
});

for (const theme of ['Dark', 'Light'] as const) {
  test(`in the ${theme.toLowerCase()} theme its text is readable`, async () => {
    await setTheme(page, `JupyterLab ${theme}`);
    await takePicture(`report-${theme.toLowerCase()}.png`);
    expect(await unreadable(report)).toEqual([]);
  });
}

test('a click zooms, Reset zoom goes back', async () => {
  const line = frame(report, /line 2\s+everything/);
  const reset = report.getByRole('button', { name: 'Reset zoom' });
  const whole = await widthOf(frame(report, /^Cell \[\d+\]/));
  await expect(reset).toBeDisabled();
  expect(await widthOf(line)).toBeLessThan(0.7 * whole);
  await line.click();
  await expect.poll(() => widthOf(line)).toBeCloseTo(whole, -1);
  await expect(reset).toBeEnabled();
  await reset.click();
  await expect.poll(() => widthOf(line)).toBeLessThan(0.7 * whole);
  await expect(reset).toBeDisabled();
});

test('search marks what contains the text, literally, and tells how much that is', async () => {
  const search = report.getByRole('searchbox');
  const status = report.getByRole('status');
  await search.fill('_MERGE');
  await expect(status).toHaveText(/^\d+ frames, [\d.]+ MiB, \d+ %$/);
  await expect(report.locator('g.fil-match')).not.toHaveCount(0);
  await search.fill('merge(');
  await expect(status).toHaveText(/^\d+ frames?, [\d.]+ MiB, \d+ %$/);
  await search.fill('[.*');
  await expect(status).toHaveText('not found');
  await expect(report.locator('g.fil-match')).toHaveCount(0);
  await search.fill('');
  await expect(status).toHaveText('');
});

test('the keyboard reaches every frame without leaving the report', async () => {
  const picture = report.locator('.fil-flame');
  const activeCell = await page.locator('.jp-Cell.jp-mod-active').getAttribute('data-windowed-list-index');
  await picture.focus();
  await page.keyboard.press('ArrowDown');
  await expect(report.locator('g.fil-focus')).toContainText(/line 3/);
  await page.keyboard.press('ArrowRight');
  await expect(report.locator('g.fil-focus')).toContainText(/line 2/);
  await expect(report.locator('.fil-spoken')).toContainText(/line 2.*MiB, \d+ % of the peak/);
  await page.keyboard.press('Enter');
  await expect(report.getByRole('button', { name: 'Reset zoom' })).toBeEnabled();
  await page.keyboard.press('Escape');
  await expect(report.getByRole('button', { name: 'Reset zoom' })).toBeDisabled();
  expect(await page.locator('.jp-Cell.jp-mod-active').getAttribute('data-windowed-list-index')).toBe(activeCell);
});

test('the picture follows the width of the notebook', async () => {
  const picture = report.locator('.fil-flame svg');
  const before = await widthOf(picture);
  await page.setViewportSize({ width: 900, height: 1100 });
  await expect.poll(() => widthOf(picture)).toBeLessThan(before - 200);
  await page.setViewportSize({ width: 1280, height: 1100 });
  await expect.poll(() => widthOf(picture)).toBe(before);
});

test('clearing the outputs leaves nothing behind', async () => {
  await expect(page.locator('body > .fil-tooltip')).toHaveCount(2);
  await command(page, 'editmenu:clear-all');
  await expect(page.locator('.fil-report')).toHaveCount(0);
  await expect(page.locator('.fil-tooltip')).toHaveCount(0);
});

test('nothing complained in the meantime', () => {
  expect(errors).toEqual([]);
});

/** The first profiled cell with its report, as the README shows it; `npm run images` makes the README's pictures anew. */
async function takePicture(name: string): Promise<void> {
  const cell = page
    .locator('.jp-CodeCell')
    .filter({ has: page.locator('.fil-report') })
    .first();
  await page.mouse.move(0, 0);
  // Lab scrolls, too, when a run has ended.
  await expect
    .poll(async () => {
      await cell.evaluate((node) => {
        node.scrollIntoView({ block: 'start' });
      });
      const { y, height } = (await cell.boundingBox()) ?? { y: 0, height: Infinity };
      return y + height;
    })
    .toBeLessThan(1060);
  await frame(report, /reindex_and_concat/).hover();
  await expect(page.locator('.fil-tooltip:visible')).toHaveCount(1);
  const box = await cell.boundingBox();
  expect(box).not.toBeNull();
  if (box !== null) {
    const path = process.env['FIL_UPDATE_IMAGES'] === '1' ? join(IMAGES, name) : test.info().outputPath(name);
    await page.screenshot({ path, clip: box });
  }
}
