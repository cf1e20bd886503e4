/**
 * A report beside another one: the last run of its cell, or any of the notebook.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from '@playwright/test';
import { unreadable } from './contrast.js';
import { command, frame, kernelIdle, setTheme, widthOf } from './lab.js';
import { LabNotebook, takePicture, WASTEFUL } from './lab-notebook.js';

test.describe.configure({ mode: 'serial' });

/** One line holds less, two are gone, one is new. */
const BETTER = ['numbers = np.ones(2_000_000)', 'more = np.ones(3_000_000)', 'total = numbers.sum() * 2'].join('\n');

let notebook: LabNotebook;

test.beforeAll(async ({ browser }) => {
  notebook = await LabNotebook.withCells(browser, 'compare.ipynb', [
    WASTEFUL,
    'smaller = list(range(200_000))\nlength = len(smaller)',
    'import numpy as np',
  ]);
  await notebook.run(2);
  await notebook.profile(0);
});

test.afterAll(async () => {
  await notebook.close();
});

test('running a cell again tells how it compares with its last run, and one click shows where', async () => {
  const report = notebook.report(0);
  await notebook.write(0, BETTER);
  await notebook.profile(0);
  await expect(report.locator('.fil-change')).toContainText(/14\d\.\d MiB less than in the last run/);
  await report.getByRole('button', { name: 'compare', exact: true }).click();
  await expect(report.locator('.fil-compared')).toContainText('Compared with the last run: peak 14');
  // Edited, but it assigns to the same variable.
  const changed = frame(report, /line 1\s+numbers = np\.ones\(2_000_000\)/);
  await expect(changed).toHaveAttribute('data-gone', 'false');
  await expect(changed).toContainText('-45.8 MiB');
});

test('what only the last run had is in the picture, as wide as it was', async () => {
  const report = notebook.report(0);
  const [root, gone] = [frame(report, /^Cell \[\d+\]/), frame(report, /line 3\s+copy = numbers\.copy\(\)/)];
  await expect(gone).toHaveAttribute('data-gone', 'true');
  expect((await widthOf(gone)) / (await widthOf(root))).toBeCloseTo(61.0 / 206, 1);
  await expect(frame(report, /line 2\s+more = /)).toContainText('+22.9 MiB');
  await gone.hover();
  await expect(notebook.page.locator('.fil-tooltip:visible')).toContainText('gone: 61.0 MiB before');
  await notebook.page.mouse.move(0, 0);
  for (const theme of ['Dark', 'Light'] as const) {
    await setTheme(notebook.page, `JupyterLab ${theme}`);
    // The chart writes its classes anew with another theme.
    await expect(gone).toHaveAttribute('data-gone', 'true');
    await takePicture(`compare-${theme.toLowerCase()}.png`, notebook.cells.nth(0));
    expect(await unreadable(report)).toEqual([]);
  }
});

test('the table begins with the largest change, and the curve of the last run is dashed beside the present one', async () => {
  const report = notebook.report(0);
  await report.getByRole('tab', { name: 'Lines' }).click();
  await expect(report.getByRole('columnheader', { name: 'Change' })).toHaveAttribute('aria-sort', 'descending');
  await expect(report.getByRole('row', { name: /line 3 gone copy = numbers\.copy\(\)/ })).toContainText('-61.0 MiB');
  await takePicture('compare-lines-light.png', notebook.cells.nth(0));
  await report.getByRole('tab', { name: 'Over time' }).click();
  await expect(report.locator('.fil-curve-before')).toBeVisible();
  await report.getByRole('tab', { name: 'Flamegraph' }).click();
  await report.getByRole('button', { name: 'Stop comparing' }).click();
  await expect(report.locator('g.frame[data-delta]')).toHaveCount(0);
});

test('the last run is remembered when the notebook is opened again', async () => {
  const { page } = notebook;
  const report = notebook.report(0);
  await command(page, 'docmanager:save');
  await page.reload();
  await page.waitForFunction(() => 'jupyterapp' in window);
  await page.evaluate(() => window.jupyterapp.restored);
  await expect(report.locator('.fil-change')).toContainText(/14\d\.\d MiB less than in the last run/);
  await report.getByRole('button', { name: 'compare', exact: true }).click();
  await expect(frame(report, /line 1\s+numbers/)).toContainText('-45.8 MiB');
  await report.getByRole('button', { name: 'Stop comparing' }).click();
  await kernelIdle(page);
});

test('a run that holds as much as the last one is not called a change', async () => {
  await notebook.profile(1);
  await notebook.profile(1);
  await expect(notebook.report(1).locator('.fil-change')).toContainText('as much as in the last run');
});

test('any two reports of the notebook can be compared', async () => {
  const report = notebook.report(0);
  await report.getByRole('button', { name: 'Copy, save, compare' }).click();
  await notebook.page.getByRole('menuitem', { name: /Cell \[5\], \d/ }).click();
  await expect(report.locator('.fil-compared')).toContainText(/Compared with Cell \[5\], .*: peak .* more/);
  await expect(report.locator('g.frame[data-delta="3"]').first()).toBeVisible();
  expect(await unreadable(report)).toEqual([]);
});

test('a report is saved as a page that draws itself', async ({ browser }) => {
  const download = notebook.page.waitForEvent('download');
  await notebook.report(0).getByRole('button', { name: 'Copy, save, compare' }).click();
  await notebook.page.getByRole('menuitem', { name: 'Save as HTML' }).click();
  const saved = await (await download).path();
  expect((await download).suggestedFilename()).toBe('fil-cell-3.html');
  const other = await browser.newPage();
  await other.setContent(readFileSync(saved, 'utf8'));
  await expect(frame(other.locator('.fil-report'), /line 2/)).toBeVisible();
  await other.close();
});

test('nothing complained in the meantime', () => {
  expect(notebook.errors).toEqual([]);
});
