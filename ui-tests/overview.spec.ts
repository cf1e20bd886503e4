/**
 * The side panel: the notebook's profiled cells, and what is in memory now.
 */
import { expect, type Locator, test } from '@playwright/test';
import { unreadable } from './contrast.js';
import { command, setTheme } from './lab.js';
import { LabNotebook, takePicture, WASTEFUL } from './lab-notebook.js';

test.describe.configure({ mode: 'serial' });

let notebook: LabNotebook;
let overview: Locator;

const variable = (name: string): Locator => overview.locator('.fil-now tbody tr').filter({ hasText: name });

test.beforeAll(async ({ browser }) => {
  notebook = await LabNotebook.withCells(browser, 'overview.ipynb', [
    WASTEFUL,
    'smaller = list(range(200_000))',
    'import numpy as np',
  ]);
  overview = notebook.page.locator('.fil-overview');
  await notebook.run(2);
  await notebook.profile(0);
  await notebook.profile(1);
});

test.afterAll(async () => {
  await notebook.close();
});

test('it is opened by the menu "View", lists the profiled cells, sorts them and leads to them', async () => {
  const { page } = notebook;
  await page.locator('.lm-MenuBar-item').getByText('View', { exact: true }).click();
  await page.locator('.lm-Menu').getByText('Show Memory Profiles').click();
  // Cells that were only run can be there, too, as estimates.
  const rows = overview.locator('table').first().locator('tbody tr').filter({ hasNotText: /[≈<] / });
  await expect(rows).toHaveCount(2);
  await expect(rows.first()).toContainText(/\[2\] # Three arrays.*183\.\d MiB.*122\.\d MiB/);
  await overview.getByRole('columnheader', { name: 'Time' }).getByRole('button').click();
  await expect(overview.getByRole('columnheader', { name: 'Time' })).toHaveAttribute('aria-sort', 'descending');
  await overview.getByRole('columnheader', { name: 'Peak' }).getByRole('button').click();
  await expect(rows.first()).toContainText('[2]');
  await rows.getByRole('button', { name: 'Cell [3]' }).click();
  await expect(notebook.cells.nth(1)).toHaveClass(/jp-mod-active/);
});

test('it tells what is in memory now, which variables hold it, and leads to the lines that made them', async () => {
  // Read by itself, as the kernel is idle.
  await expect(variable('numbers')).toContainText(/ndarray.*\[2\] line 2.*61\.0 MiB/);
  await expect(overview.locator('.fil-now')).toContainText(
    /[\d.]+ MiB [\d.]+ % of this (container|machine)'s [\d.]+ GiB/,
  );
  await expect(variable('smaller')).toContainText(/list.*\[3\] line 1.*[67]\.\d MiB/);
  for (const theme of ['Dark', 'Light'] as const) {
    await setTheme(notebook.page, `JupyterLab ${theme}`);
    await takePicture(`overview-${theme.toLowerCase()}.png`, overview);
    expect(await unreadable(overview)).toEqual([]);
  }
  await variable('numbers').getByRole('button', { name: '[2] line 2' }).click();
  await expect(notebook.cells.nth(0).locator('.cm-editor')).toHaveClass(/cm-focused/);
  expect(await notebook.selected()).toBe('numbers = np.ones(8_000_000)');
});

test('it follows what the kernel does', async () => {
  await notebook.page.evaluate(() => {
    const kernel = window.jupyterapp.shell.currentWidget?.sessionContext.session?.kernel;
    return kernel?.requestExecute({ code: 'later = bytearray(9_000_000)' }).done.then(() => undefined);
  });
  await expect(variable('later')).toContainText(/8\.6 MiB/);
  await overview.getByRole('button', { name: 'Refresh' }).click();
  await expect(variable('later')).toContainText(/8\.6 MiB/);
});

test('of a variable whose cell was changed and run again since, it leads to the cell and not to a wrong line', async () => {
  await notebook.write(0, 'del numbers');
  await notebook.run(0);
  await expect(variable('numbers')).toHaveCount(0);
  const link = variable('copy').getByRole('button', { name: '[2] line 3' });
  await expect(link).toHaveAttribute('title', /run again since/);
  await notebook.activate(2);
  await link.click();
  await expect(notebook.cells.nth(0)).toHaveClass(/jp-mod-active/);
  await expect(notebook.cells.nth(0).locator('.cm-editor')).not.toHaveClass(/cm-focused/);
});

test('a restarted kernel has no variables, and the list of profiled cells stays', async () => {
  const { page } = notebook;
  const restarted = page.evaluate(() => window.jupyterapp.commands.execute('kernelmenu:restart').then(() => undefined));
  await page.getByRole('dialog').getByRole('button', { name: 'Confirm Kernel Restart' }).click();
  await restarted;
  await expect(overview.locator('.fil-now')).toContainText('There are no variables of more than 1 KiB.');
  await expect(overview.getByRole('button', { name: 'Cell [3]' })).toBeVisible();
});

test('after a reload of the page it is where it was', async () => {
  const { page } = notebook;
  await command(page, 'docmanager:save');
  // Lab stores its layout a moment after it has changed.
  await expect
    .poll(() => page.evaluate(() => fetch('/lab/api/workspaces').then((response) => response.text())))
    .toMatch(/"current":\s*"fil-overview"/);
  await page.reload();
  await page.waitForFunction(() => 'jupyterapp' in window);
  await page.evaluate(() => window.jupyterapp.restored);
  await expect(overview).toBeVisible();
  await expect(overview.getByRole('button', { name: 'Cell [3]' })).toBeVisible();
});

test('nothing complained in the meantime', () => {
  expect(notebook.errors).toEqual([]);
});
