/**
 * The ways to profile cells, without a change of their text, on kernels that can and on others.
 */
import { expect, test } from '@playwright/test';
import { command, kernelIdle } from './lab.js';
import { LabNotebook, WASTEFUL, writeCells } from './lab-notebook.js';

test.describe.configure({ mode: 'serial' });

let notebook: LabNotebook;

test.beforeAll(async ({ browser }) => {
  notebook = await LabNotebook.withCells(browser, 'running.ipynb', [
    WASTEFUL,
    'smaller = list(range(200_000))\nlength = len(smaller)',
    'raise ValueError("stop")',
    'import numpy as np',
  ]);
  // NumPy's own memory is not what these tests count.
  await notebook.run(3);
});

test.afterAll(async () => {
  await notebook.close();
});

test('the toolbar button profiles the active cell without a change of its text', async () => {
  await notebook.profile(0);
  expect(await notebook.source(0)).toBe(WASTEFUL);
  await expect(notebook.report(0).locator('.fil-headline')).toContainText(/Peak 183\.\d MiB/);
  await expect(
    notebook.cells.nth(0).locator('.jp-OutputArea-output.jp-mod-error, .jp-RenderedText[data-mime-type$=stderr]'),
  ).toHaveCount(0);
  await expect(notebook.report(1)).toHaveCount(0);
});

test('a cell that is run without it is not profiled', async () => {
  await notebook.run(1);
  await expect(notebook.report(1)).toHaveCount(0);
});

test('the shortcut and the context menu profile, too', async () => {
  const { page, cells } = notebook;
  await notebook.activate(1);
  await page.keyboard.press('Control+Alt+Enter');
  await expect(notebook.report(1)).toHaveCount(1);
  await kernelIdle(page);
  await expect(notebook.prompt(1)).toHaveText('[4]:');
  await cells.nth(1).locator('.jp-InputPrompt').click({ button: 'right' });
  await page.locator('.lm-Menu').getByText('Profile This Cell').click();
  await expect(notebook.prompt(1)).toHaveText('[5]:');
  await expect(notebook.report(1)).toHaveCount(1);
  await kernelIdle(page);
});

test('the palette and the menu "Run" have the commands', async () => {
  const { page } = notebook;
  await notebook.activate(1);
  await command(page, 'apputils:activate-command-palette');
  await page.locator('#command-palette input').fill('profile this cell');
  await page.keyboard.press('Enter');
  await expect(notebook.prompt(1)).toHaveText('[6]:');
  await kernelIdle(page);
  await page.locator('.lm-MenuBar-item').getByText('Run', { exact: true }).click();
  await expect(page.locator('.lm-Menu').getByText('Profile This Cell')).toBeVisible();
  await expect(page.locator('.lm-Menu').getByText('Profile All Cells')).toBeVisible();
  await page.keyboard.press('Escape');
});

test('profiling all cells stops at the first that fails, which has its report', async () => {
  await command(notebook.page, 'filprofiler:profile-all');
  await expect(notebook.report(2)).toHaveCount(1);
  await kernelIdle(notebook.page);
  await expect(notebook.cells.nth(2)).toContainText('ValueError: stop');
  await expect(notebook.report(2).locator('.fil-subline')).toContainText('ended with an error');
  await expect(notebook.report(0)).toHaveCount(1);
  await expect(notebook.report(1)).toHaveCount(1);
  await expect(notebook.report(3)).toHaveCount(0);
});

test('clearing the outputs takes the bars and everything else away', async () => {
  await expect(notebook.bars(0)).not.toHaveCount(0);
  await command(notebook.page, 'editmenu:clear-all');
  await expect(notebook.page.locator('.fil-report, .fil-tooltip, .fil-bar')).toHaveCount(0);
});

test('on another kernel it offers to switch, and profiles there', async () => {
  const { page, button } = notebook;
  await command(page, 'kernelmenu:shutdown').catch(() => undefined);
  writeCells('other.ipynb', [`import numpy as np\n${WASTEFUL}`], 'python3');
  await notebook.open('other.ipynb');
  await expect(button).toBeEnabled();
  await expect(button).toHaveAccessibleName(/switches to the kernel "Python 3 with Fil"/);
  await notebook.activate(0);
  await button.click();
  const dialog = page.getByRole('dialog');
  await expect(dialog).toContainText('Switch to the kernel "Python 3 with Fil"?');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await expect(notebook.prompt(0)).toHaveText('[ ]:');
  await button.click();
  await dialog.getByRole('button', { name: 'Switch Kernel' }).click();
  await expect(notebook.report(0)).toHaveCount(1);
  await expect(page.locator('.jp-NotebookPanel-toolbar')).toContainText('Python 3 with Fil');
  await expect(button).not.toHaveAccessibleName(/switches/);
});

test('nothing complained in the meantime', () => {
  expect(notebook.errors).toEqual([]);
});
