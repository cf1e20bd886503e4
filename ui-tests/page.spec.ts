/**
 * The one-file page, opened from the disk.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { expect, type Page, test } from '@playwright/test';
import { toHtmlPage } from '../kernel/src/output/page.js';
import { largeReport } from '../schema/fixtures/large-report.js';
import type { Report } from '../schema/report.js';
import { EffortMeter, judge } from './effort.js';
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
  await open(page, toHtmlPage(report, { template }), 'report');
}

test('draws itself and loads nothing from anywhere', async ({ page }) => {
  const requests: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  const errors = collectErrors(page);
  await openReport(page, fixture('pandas'));
  const report = page.locator('.fil-report');
  await expect(report.locator('.fil-headline')).toContainText('Peak 1.9 GiB');
  await expect(page).toHaveTitle('Peak Tracked Memory Usage (1.9 GiB) · Cell [7]');
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
  await page.getByRole('checkbox', { name: 'fold library frames' }).uncheck();
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
  const html = toHtmlPage(fixture('pandas'), { template });
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
  await expect(page.locator('main ul').first()).toContainText('DataFrame.sort_values');
  await context.close();
});

/** A click as quick as the page's own. */
function click(page: Page, selector: string): Promise<void> {
  return page.evaluate((target) => {
    document.querySelector(target)?.dispatchEvent(new MouseEvent('click', { bubbles: true }));
  }, selector);
}

for (const [nodes, most] of [
  [5_000, { draw: 300, unfold: 300, zoom: 100, search: 100, view: 300 }],
  [100_000, { draw: 1000, unfold: 1000, zoom: 500, search: 500, view: 1000 }],
] as const) {
  test(
    `a page of ${nodes} nodes is drawn, unfolds, zooms, is searched and changes its view without making its reader wait`,
    {
      tag: '@speed',
    },
    async ({ page }) => {
      const html = toHtmlPage(largeReport(nodes), { template });
      const meter = await EffortMeter.of(page);
      const measure = async (what: string, limit: number, act: () => Promise<unknown>): Promise<void> => {
        const measured = await meter.during(page, act);
        judge({ what: `${nodes.toLocaleString('en-US')} nodes in a page: ${what}`, measured, most: limit, unit: 'ms' });
      };
      await measure('drawn', most.draw, async () => {
        await open(page, html, 'large');
        await page.locator('g.frame').first().waitFor();
      });
      await measure('unfolded', most.unfold, () => click(page, '.fil-fold input'));
      await measure('zoomed', most.zoom, () => click(page, 'g.frame:nth-of-type(2)'));
      await measure('searched', most.search, () =>
        page.evaluate(() => {
          const box = document.querySelector<HTMLInputElement>('.fil-search');
          if (box !== null) {
            box.value = 'DataFrame';
            box.dispatchEvent(new Event('input', { bubbles: true }));
          }
          // It waits for who types; asking meanwhile would be work, too.
          return new Promise((resolve) => setTimeout(resolve, 250));
        }),
      );
      await expect(page.getByRole('status')).toContainText('frames');
      await measure('bottom up', most.view, () => click(page, '.fil-tab:nth-child(2)'));
      await measure('its lines', most.view, () => click(page, '.fil-tab:nth-child(3)'));
      await expect(page.getByRole('status')).toContainText('lines');
    },
  );
}

test("libraries are folded into the calls of the user's line, and one click unfolds them", async ({ page }) => {
  await openReport(page, fixture('pandas'));
  const report = page.locator('.fil-report');
  await expect(frame(report, /DataFrame\.merge.*8 frames folded/)).toBeVisible();
  await expect(frame(report, /take_nd/)).toHaveCount(0);
  const folded = await report.locator('g.frame').count();
  await page.getByRole('checkbox', { name: 'fold library frames' }).uncheck();
  await expect(frame(report, /take_nd/)).toBeVisible();
  expect(await report.locator('g.frame').count()).toBeGreaterThan(folded);
});

test('what is certain about the cause is said, with the evidence', async ({ page }) => {
  await openReport(page, fixture('pandas'));
  const finding = page.locator('.fil-finding');
  await expect(finding).toHaveCount(1);
  await expect(finding).toContainText(
    /line 3 held what 3 of its calls made at the same time: .*sort_values 410\.0 MiB.*Evidence/,
  );
});

test('bottom up begins with what allocated and ends with the lines that called it', async ({ page }) => {
  await openReport(page, fixture('pandas'));
  await page.getByRole('tab', { name: 'Bottom up' }).click();
  const report = page.locator('.fil-report');
  await expect(frame(report, /^DataFrame\.merge/)).toBeVisible();
  const top = await frame(report, /DataFrame\.merge/).boundingBox();
  const below = await frame(report, /^line 2/).boundingBox();
  expect(below?.y).toBeGreaterThan(top?.y ?? Infinity);
});

test('the table of lines sorts by what it is asked for, and says so', async ({ page }) => {
  await openReport(page, fixture('pandas'));
  await page.getByRole('tab', { name: 'Lines' }).click();
  const rows = page.locator('.fil-lines tbody tr');
  await expect(rows.first()).toContainText(/1\.2 GiB.*63 %.*line 3.*late = merged/);
  await expect(page.getByRole('columnheader', { name: 'Own' })).toHaveAttribute('aria-sort', 'descending');
  await page.getByRole('checkbox', { name: 'fold library frames' }).uncheck();
  await page.getByRole('columnheader', { name: 'Total' }).getByRole('button').press('Enter');
  await expect(page.getByRole('columnheader', { name: 'Total' })).toHaveAttribute('aria-sort', 'descending');
  await expect(page.getByRole('columnheader', { name: 'Total' }).getByRole('button')).toBeFocused();
  await expect(rows.first()).toContainText('take_nd');
  await expect(rows.filter({ hasText: 'late = ' }).locator('td')).toContainText([
    '3.0 MiB',
    '1.2 GiB',
    '0.2 %',
    'line 3',
  ]);
  await page.getByRole('searchbox').fill('weather');
  await expect(rows).toHaveCount(1);
  await expect(page.getByRole('status')).toHaveText(/^1 line, /);
});

test('memory over time marks the peak', async ({ page }) => {
  await openReport(page, {
    ...fixture('pandas'),
    timeline: { seconds: [0.5, 1, 2.6, 3], bytes: [1e8, 5e8, 1.9e9, 1e9] },
  });
  await page.getByRole('tab', { name: 'Over time' }).click();
  await expect(page.getByRole('img', { name: 'peak 1.9 GiB at 2.6 s' })).toBeVisible();
  const picture = (await page.locator('.fil-time svg').boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
  await page.mouse.move(picture.x + picture.width * 0.25, picture.y + 80);
  await expect(page.locator('.fil-time-readout')).toHaveText('476.8 MiB after 1.0 s');
  await openReport(page, fixture('small'));
  await page.getByRole('tab', { name: 'Over time' }).click();
  await expect(page.locator('.fil-time')).toContainText('too short');
});

test('tabs and the menu obey the keyboard', async ({ page }) => {
  await openReport(page, fixture('pandas'));
  await page.getByRole('tab', { name: 'Flamegraph' }).focus();
  await page.keyboard.press('ArrowRight');
  await expect(page.getByRole('tab', { name: 'Bottom up' })).toBeFocused();
  await expect(page.getByRole('tab', { name: 'Bottom up' })).toHaveAttribute('aria-selected', 'true');
  const menu = page.getByRole('button', { name: 'Copy, save, compare' });
  await menu.press('Enter');
  await expect(page.getByRole('menuitem').first()).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await expect(page.getByRole('menuitem', { name: 'Save as SVG' })).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(menu).toBeFocused();
  await expect(page.getByRole('menu')).toBeHidden();
});

test('the menu copies text and saves pictures that other programs read', async ({ page, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const errors = collectErrors(page);
  await openReport(page, fixture('pandas'));
  const choose = async (name: string): Promise<void> => {
    await page.getByRole('button', { name: 'Copy, save, compare' }).click();
    await page.getByRole('menuitem', { name }).click();
  };
  const saved = async (name: string): Promise<Buffer> => {
    const download = page.waitForEvent('download');
    await choose(name);
    return readFileSync(await (await download).path());
  };
  const svg = (await saved('Save as SVG')).toString();
  expect(svg).toMatch(/^<\?xml.*\n<svg xmlns=/);
  expect(svg).toContain('DataFrame.sort_values');
  expect(svg).not.toMatch(/foreignObject|var\(|light-dark/);
  await page.goto(`data:image/svg+xml,${encodeURIComponent(svg)}`);
  await expect(page.locator('svg rect').first()).toBeAttached();
  await openReport(page, fixture('pandas'));
  const png = await saved('Save as PNG');
  expect(png.subarray(1, 4).toString()).toBe('PNG');
  expect(png.readUInt32BE(16)).toBe(2400);
  writeFileSync(test.info().outputPath('saved.png'), png);
  await choose('Copy as text');
  await expect(page.getByRole('status')).toHaveText('Copied.');
  expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(/Cell \[7\]\nPeak 1\.9 GiB.*\n[^]*line 3/);
  expect(errors).toEqual([]);
});

test('shows several processes, one of them alone, and each over time', async ({ page }) => {
  const errors = collectErrors(page);
  await openReport(page, fixture('processes'));
  const report = page.locator('.fil-report');
  await expect(report.locator('.fil-headline')).toContainText('Peak 71.6 MiB');
  const first = frame(report, /trio\.py \(forked\), pid \d+.*38\.1 MiB/);
  await expect(first).toBeVisible();
  await page.getByLabel('Show one process').selectOption({ index: 2 });
  await expect(first).toHaveCount(0);
  await expect(frame(report, /trio\.py \(forked\), pid \d+.*23\.8 MiB/)).toBeVisible();
  await page.getByLabel('Show one process').selectOption({ index: 0 });
  await page.getByRole('tab', { name: 'Over time' }).click();
  await expect(page.getByRole('list', { name: 'Processes' }).getByRole('listitem')).toHaveCount(3);
  const chart = await report.locator('.fil-time svg').boundingBox();
  const areas = report.locator('.fil-stack');
  await expect(areas).toHaveCount(3);
  for (const area of await areas.all()) {
    const box = await area.boundingBox();
    expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual((chart?.x ?? 0) + (chart?.width ?? 0) - 15);
  }
  await report.locator('.fil-time svg').hover();
  await expect(report.locator('.fil-time-readout')).toContainText(
    /71\.6 MiB after .*\(trio\.py \(forked\), pid \d+: 38\.1 MiB; /,
  );
  await report.getByText('Processes', { exact: true }).click();
  const table = page.getByRole('table', { name: 'Processes by the memory' });
  await expect(table.getByRole('row')).toHaveCount(4);
  // A line each.
  for (const row of await table.getByRole('row').all()) {
    expect((await row.boundingBox())?.height).toBeLessThan(40);
  }
  expect(errors).toEqual([]);
});
