/**
 * The one-file page, opened from the disk.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { expect, type Page, test } from '@playwright/test';
import { toHtmlPage } from '../kernel/src/output/files.js';
import { largeReport } from '../schema/fixtures/large-report.js';
import type { Report } from '../schema/report.js';
import { collectErrors, frame, widthOf } from './lab.js';
import { PAGE_TEMPLATE } from './lab-server.js';
import { fixture } from './notebooks.js';

const template = readFileSync(PAGE_TEMPLATE, 'utf8');

async function open(page: Page, html: string, name: string): Promise<void> {
  const file = test.info().outputPath(`${name}.html`);
  writeFileSync(file, html);
  await page.goto(pathToFileURL(file).href);
}

async function openReport(page: Page, report: Report): Promise<void> {
  await open(page, toHtmlPage(report, template), 'report');
}

test('draws itself and loads nothing from anywhere', async ({ page }) => {
  const requests: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  const errors = collectErrors(page);
  await openReport(page, fixture('pandas'));
  const report = page.locator('.fil-report');
  await expect(report.locator('.fil-headline')).toContainText('Peak 1.9 GiB');
  await expect(page).toHaveTitle('Fil: 1.9 GiB in Cell [7]');
  await expect(page.locator('table')).toHaveCount(0);
  expect(requests).toEqual([page.url()]);
  expect(errors).toEqual([]);
});

test('zooms, searches and tells', async ({ page }) => {
  await openReport(page, fixture('pandas'));
  const line = frame(page.locator('.fil-report'), /line 2\s+merged/);
  const before = await widthOf(line);
  await line.hover();
  await expect(page.locator('.fil-tooltip:visible')).toContainText('704.0 MiB · 36 % of the peak');
  await line.click();
  await expect.poll(() => widthOf(line)).toBeGreaterThan(2 * before);
  await page.getByRole('searchbox').fill('take_nd');
  await expect(page.getByRole('status')).toHaveText(/^\d frames, 1\.\d GiB, \d\d %$/);
});

test('follows the preferred colour scheme', async ({ page }) => {
  const paper = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.emulateMedia({ colorScheme: 'light' });
  await openReport(page, fixture('pandas'));
  expect(await paper()).toBe('rgb(255, 255, 255)');
  await page.emulateMedia({ colorScheme: 'dark' });
  expect(await paper()).toBe('rgb(17, 20, 24)');
});

test('runs no script but its own, and keeps the still form where it cannot draw', async ({ page }) => {
  const html = toHtmlPage(fixture('pandas'), template);
  await open(
    page,
    html.replace('</main>', '</main><script>window.hacked = true</script>').replace('"gzip+base64"', '"none"'),
    'changed',
  );
  expect(await page.evaluate(() => 'hacked' in window)).toBe(false);
  await expect(page.locator('.fil-unreadable')).toContainText('envelope is damaged');
  await expect(page.locator('table')).toBeVisible();
});

test('shows the still form without scripts', async ({ browser }) => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await openReport(page, fixture('pandas'));
  await expect(page.locator('table')).toBeVisible();
  await expect(page.locator('details')).toContainText('DataFrame.sort_values');
  await context.close();
});

test('a large one zooms and searches without making its reader wait', async ({ page }) => {
  await openReport(page, largeReport(5000));
  await expect(page.locator('g.frame').first()).toBeVisible();
  const milliseconds = await page.evaluate(() => {
    const timed = (act: () => void): number => {
      const began = performance.now();
      act();
      document.body.getBoundingClientRect();
      return performance.now() - began;
    };
    return {
      zoom: timed(() => {
        document.querySelectorAll('g.frame')[1]?.dispatchEvent(new MouseEvent('click'));
      }),
    };
  });
  console.log(`5,000 nodes, zoom: ${milliseconds.zoom.toFixed(0)} ms`);
  expect(milliseconds.zoom).toBeLessThan(250);
});
