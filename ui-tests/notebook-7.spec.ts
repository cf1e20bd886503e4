/**
 * Notebook 7, which is made of the same parts as Lab but shows no application to tests.
 */
import { expect, test } from '@playwright/test';
import { frame, widthOf } from './lab.js';
import { LabNotebook, writeCells } from './lab-notebook.js';
import { fixture, writeReports } from './notebooks.js';

test.describe.configure({ mode: 'serial' });

let notebook: LabNotebook;

test.beforeAll(async ({ browser }) => {
  notebook = await LabNotebook.empty(browser);
});

test.afterAll(async () => {
  const { page } = notebook;
  await page.evaluate(async () => {
    const token = /_xsrf=([^;]+)/.exec(document.cookie)?.[1] ?? '';
    const sessions = (await (await fetch('/api/sessions')).json()) as { id: string }[];
    for (const { id } of sessions) {
      await fetch(`/api/sessions/${id}`, { method: 'DELETE', headers: { 'X-XSRFToken': token } });
    }
  });
  await page.close();
});

test('it shows the same report', async () => {
  writeReports('stored.ipynb', [fixture('pandas')]);
  await notebook.page.goto('/notebooks/stored.ipynb');
  const report = notebook.report(0);
  await expect(report).toHaveCount(1);
  const line = frame(report, /line 2\s+merged/);
  const before = await widthOf(line);
  await line.click();
  await expect.poll(() => widthOf(line)).toBeGreaterThan(2 * before);
});

test('it has the button, the bars and the comparison, too', async () => {
  const { page, cells, button } = notebook;
  const source = 'data = bytearray(50_000_000)\nmore = bytearray(20_000_000)';
  writeCells('seven.ipynb', [source], 'filprofile');
  await page.goto('/notebooks/seven.ipynb');
  await notebook.prompt(0).click();
  await button.click();
  await expect(notebook.prompt(0)).toHaveText('[1]:');
  await expect(notebook.bars(0)).toHaveText(['47.7 MiB', '19.1 MiB']);
  await cells.nth(0).locator('.cm-line').nth(1).click();
  await page.keyboard.press('Shift+Home');
  await page.keyboard.type('#');
  await button.click();
  await expect(notebook.prompt(0)).toHaveText('[2]:');
  await expect(notebook.report(0).locator('.fil-change')).toContainText('19.1 MiB less than in the last run');
  await frame(notebook.report(0), /line 1/).click({ modifiers: ['Alt'] });
  await expect(cells.nth(0).locator('.cm-editor')).toHaveClass(/cm-focused/);
  await page.screenshot({ path: test.info().outputPath('notebook-7.png') });
});

test('each cell has its badge, and one click opens its flamegraph', async () => {
  const { page, cells } = notebook;
  writeCells(
    'seven-badges.ipynb',
    ['data = [bytearray(1_000_000) for _ in range(40)]', 'print("no memory")'],
    'filprofile',
  );
  await page.goto('/notebooks/seven-badges.ipynb');
  await expect(page.locator('.fil-samples')).toHaveCount(1);
  await notebook.prompt(0).click();
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.press('Shift+Enter');
  await expect(notebook.prompt(1)).toHaveText('[2]:');
  const badge = cells.nth(0).locator('.fil-badge');
  await expect(badge).toHaveText(/^≈ Peak 3\d\.\d MiB · kept 3\d\.\d MiB · /);
  await expect(cells.nth(1).locator('.fil-badge')).toHaveCount(1);
  await expect(cells.nth(1).locator('.fil-quiet')).toHaveCount(1);
  await badge.getByRole('button').first().click();
  await expect(notebook.report(0).locator('.fil-headline')).toContainText(/Peak 3\d\.\d MiB ± /);
  await page.screenshot({ path: test.info().outputPath('notebook-7-badges.png') });
  await badge.getByRole('button').first().click();
  await expect(notebook.report(0)).toHaveCount(0);
});

test('nothing complained in the meantime', () => {
  expect(notebook.errors).toEqual([]);
});
