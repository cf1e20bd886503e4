/**
 * What the extension does around reports, with a kernel that runs: profiling without a change of the cell, bars in the editor,
 * comparison with the last run, the overview.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, type Locator, type Page, test } from '@playwright/test';
import { unreadable } from './contrast.js';
import { collectErrors, command, frame, kernelIdle, openInLab, setTheme } from './lab.js';
import { IMAGES, NOTEBOOKS } from './lab-server.js';
import { largeReport } from '../schema/fixtures/large-report.js';
import { fixture, writeReports } from './notebooks.js';

test.describe.configure({ mode: 'serial' });

const WASTEFUL = [
  '# Three arrays of 61 MiB at once',
  'numbers = np.ones(8_000_000)',
  'copy = numbers.copy()',
  'total = (copy * 2).sum()',
].join('\n');
const BETTER = ['# One is enough', 'numbers = np.ones(8_000_000)', 'total = numbers.sum() * 2'].join('\n');

function writeCells(name: string, sources: readonly string[], kernel: string): void {
  const cells = sources.map((source, nth) => ({
    cell_type: 'code',
    id: `cell-${nth}`,
    execution_count: null,
    metadata: {},
    source,
    outputs: [],
  }));
  const kernelspec = { name: kernel, display_name: kernel, language: 'python' };
  writeFileSync(
    join(NOTEBOOKS, name),
    JSON.stringify({ cells, metadata: { kernelspec }, nbformat: 4, nbformat_minor: 5 }),
  );
}

let page: Page;
let errors: string[];
let cells: Locator;

const button = (): Locator =>
  page
    .locator('.jp-NotebookPanel-toolbar')
    .getByRole('button', { name: /^Run this cell and show which lines held the memory/ });
const bars = (nth: number): Locator => cells.nth(nth).locator('.fil-bar');
const reportOf = (nth: number): Locator => cells.nth(nth).locator('.fil-report');

async function activate(nth: number): Promise<void> {
  await cells.nth(nth).locator('.jp-InputPrompt').click();
  await expect(cells.nth(nth)).toHaveClass(/jp-mod-active/);
}

async function profileCell(nth: number): Promise<void> {
  await activate(nth);
  const stamp = await cells.nth(nth).locator('.jp-InputPrompt').textContent();
  await button().click();
  await expect(cells.nth(nth).locator('.jp-InputPrompt')).not.toHaveText(stamp ?? '');
  await expect(cells.nth(nth).locator('.jp-InputPrompt')).toHaveText(/\[\d+\]:/);
  await expect(reportOf(nth)).toHaveCount(1);
  await kernelIdle(page);
}

/** The text of a cell's editor. */
async function sourceOf(nth: number): Promise<string> {
  return page.evaluate(
    (at) => window.jupyterapp.shell.currentWidget?.content.widgets[at]?.model.sharedModel.getSource() ?? '',
    nth,
  );
}

async function write(nth: number, source: string): Promise<void> {
  await page.evaluate(
    ([at, text]) => {
      window.jupyterapp.shell.currentWidget?.content.widgets[at]?.model.sharedModel.setSource(text);
    },
    [nth, source] as const,
  );
}

async function takePicture(name: string, of: Locator): Promise<void> {
  await of.evaluate((node) => {
    node.scrollIntoView({ block: 'start' });
  });
  const path = process.env['FIL_UPDATE_IMAGES'] === '1' ? join(IMAGES, name) : test.info().outputPath(name);
  await of.screenshot({ path });
}

test.beforeAll(async ({ browser }) => {
  page = await browser.newPage();
  errors = collectErrors(page);
  cells = page.locator('.jp-CodeCell');
  writeCells(
    'features.ipynb',
    [
      WASTEFUL,
      'smaller = list(range(200_000))\nlength = len(smaller)',
      'raise ValueError("stop")',
      'import numpy as np',
      'pass',
      'pass',
    ],
    'filprofile',
  );
  await openInLab(page, 'features.ipynb');
  await kernelIdle(page);
  // NumPy's own memory is not what these tests count.
  await activate(3);
  await command(page, 'notebook:run-cell');
  await expect(cells.nth(3).locator('.jp-InputPrompt')).toHaveText('[1]:');
});

test.afterAll(async () => {
  await command(page, 'kernelmenu:shutdown').catch(() => undefined);
  await page.close();
});

test('the toolbar button profiles the active cell without a change of its text', async () => {
  await profileCell(0);
  expect(await sourceOf(0)).toBe(WASTEFUL);
  await expect(reportOf(0).locator('.fil-headline')).toContainText(/Peak 183\.\d MiB/);
  await expect(
    cells.nth(0).locator('.jp-OutputArea-output.jp-mod-error, .jp-RenderedText[data-mime-type$=stderr]'),
  ).toHaveCount(0);
  await expect(reportOf(1)).toHaveCount(0);
});

test('a cell that is run without it is not profiled', async () => {
  await activate(1);
  await command(page, 'notebook:run-cell');
  await expect(cells.nth(1).locator('.jp-InputPrompt')).toHaveText('[3]:');
  await kernelIdle(page);
  await expect(reportOf(1)).toHaveCount(0);
});

test('the shortcut and the context menu profile, too', async () => {
  await activate(1);
  await page.keyboard.press('Control+Alt+Enter');
  await expect(reportOf(1)).toHaveCount(1);
  await kernelIdle(page);
  await cells.nth(1).locator('.jp-InputPrompt').click({ button: 'right' });
  await page.locator('.lm-Menu').getByText('Profile This Cell').click();
  await expect(cells.nth(1).locator('.jp-InputPrompt')).toHaveText('[5]:');
  await expect(reportOf(1)).toHaveCount(1);
  await kernelIdle(page);
});

test('bars beside the lines show what each held at the peak', async () => {
  await expect(bars(0)).toHaveText([/^61\.0 MiB$/, /^61\.0 MiB$/, /^61\.0 MiB$/]);
  const lines = cells.nth(0).locator('.cm-line');
  const [bar, line] = [await bars(0).nth(0).boundingBox(), await lines.nth(1).boundingBox()];
  expect(Math.abs((bar?.y ?? 0) - (line?.y ?? 99))).toBeLessThan(6);
});

test('a click on a bar marks the frames of its line', async () => {
  await bars(0).nth(1).click();
  await expect(reportOf(0).locator('g.fil-match').first()).toContainText('line 3');
  const marked = await reportOf(0).locator('g.fil-match').allTextContents();
  expect(marked.some((text) => text.includes('line 2'))).toBe(false);
});

test('Alt and a click on a frame go to its line', async () => {
  await frame(reportOf(0), /line 4/).click({ modifiers: ['Alt'] });
  await expect(cells.nth(0).locator('.cm-editor')).toHaveClass(/cm-focused/);
  const selected = await page.evaluate(() => getSelection()?.toString());
  expect(selected).toBe('total = (copy * 2).sum()');
});

for (const theme of ['Dark', 'Light'] as const) {
  test(`every view is readable in the ${theme.toLowerCase()} theme`, async () => {
    await setTheme(page, `JupyterLab ${theme}`);
    await page.mouse.move(0, 0);
    for (const [tab, name] of [
      ['Bottom up', 'bottom-up'],
      ['Lines', 'lines'],
      ['Over time', 'time'],
      ['Flamegraph', 'cell'],
    ] as const) {
      await reportOf(0).getByRole('tab', { name: tab }).click();
      await takePicture(`${name}-${theme.toLowerCase()}.png`, cells.nth(0));
      expect(await unreadable(reportOf(0)), tab).toEqual([]);
    }
  });
}

test('the bars go when the cell is edited', async () => {
  await cells.nth(0).locator('.cm-line').first().click();
  await page.keyboard.press('Home');
  await page.keyboard.type('#');
  await expect(bars(0)).toHaveCount(0);
});

test('running a cell again tells how it compares with its last run, and one click shows where', async () => {
  await write(0, BETTER);
  await profileCell(0);
  await expect(reportOf(0).locator('.fil-change')).toContainText(/12\d\.\d MiB less than in the last run/);
  await reportOf(0).getByRole('button', { name: 'compare', exact: true }).click();
  await expect(reportOf(0).locator('.fil-compared')).toContainText('Compared with the last run: peak 12');
  await expect(reportOf(0).locator('g.frame[data-delta="0"]').filter({ hasText: 'line 2' })).toHaveCount(1);
  await reportOf(0).getByRole('tab', { name: 'Lines' }).click();
  await expect(reportOf(0).getByRole('row', { name: /copy = numbers\.copy\(\)/ })).toContainText('-61.0 MiB');
  await takePicture('compare-lines-light.png', cells.nth(0));
  await reportOf(0).getByRole('tab', { name: 'Flamegraph' }).click();
  await reportOf(0).getByRole('button', { name: 'Stop comparing' }).click();
  await expect(reportOf(0).locator('g.frame[data-delta]')).toHaveCount(0);
});

test('the last run is remembered when the notebook is opened again', async () => {
  await command(page, 'docmanager:save');
  await page.reload();
  await page.waitForFunction(() => 'jupyterapp' in window);
  await page.evaluate(() => window.jupyterapp.restored);
  await expect(reportOf(0).locator('.fil-change')).toContainText(/12\d\.\d MiB less than in the last run/);
  await reportOf(0).getByRole('button', { name: 'compare', exact: true }).click();
  await expect(reportOf(0).locator('g.frame[data-delta="0"]').filter({ hasText: 'line 2' })).toHaveCount(1);
  await reportOf(0).getByRole('button', { name: 'Stop comparing' }).click();
  await kernelIdle(page);
});

test('a run that holds as much as the last one is not called a change', async () => {
  await profileCell(1);
  await expect(reportOf(1).locator('.fil-change')).toContainText('as much as in the last run');
});

test('any two reports of the notebook can be compared', async () => {
  await reportOf(0).getByRole('button', { name: 'Copy, save, compare' }).click();
  await page.getByRole('menuitem', { name: /Cell \[7\], \d/ }).click();
  await expect(reportOf(0).locator('.fil-compared')).toContainText(/Compared with Cell \[7\], .*: peak .* more/);
  await expect(reportOf(0).locator('g.frame[data-delta="3"]').first()).toBeVisible();
  for (const theme of ['Dark', 'Light'] as const) {
    await setTheme(page, `JupyterLab ${theme}`);
    await takePicture(`compare-${theme.toLowerCase()}.png`, cells.nth(0));
    expect(await unreadable(reportOf(0))).toEqual([]);
  }
});

test('a report is saved as a page that draws itself', async ({ browser }) => {
  const download = page.waitForEvent('download');
  await reportOf(0).getByRole('button', { name: 'Copy, save, compare' }).click();
  await page.getByRole('menuitem', { name: 'Save as HTML' }).click();
  const saved = await (await download).path();
  expect((await download).suggestedFilename()).toBe('fil-cell-6.html');
  const other = await browser.newPage();
  await other.setContent(readFileSync(saved, 'utf8'));
  await expect(frame(other.locator('.fil-report'), /line 2/)).toBeVisible();
  await other.close();
});

test('the overview lists the profiled cells, sorts them and leads to them', async () => {
  await command(page, 'filprofiler:show-overview');
  const overview = page.locator('.fil-overview');
  const rows = overview.locator('table').first().locator('tbody tr');
  await expect(rows).toHaveCount(2);
  await expect(rows.first()).toContainText(/Cell \[6\].*61\.0 MiB.*61\.0 MiB/);
  await overview.getByRole('columnheader', { name: 'Cell' }).getByRole('button').click();
  await overview.getByRole('columnheader', { name: 'Time' }).getByRole('button').click();
  await expect(overview.getByRole('columnheader', { name: 'Time' })).toHaveAttribute('aria-sort', 'descending');
  await rows.getByRole('button', { name: 'Cell [7]' }).click();
  await expect(cells.nth(1)).toHaveClass(/jp-mod-active/);
});

test('the overview tells what is in memory now, which variables hold it, and leads to the lines that made them', async () => {
  const overview = page.locator('.fil-overview');
  const row = overview.locator('tr').filter({ hasText: 'numbers' });
  // Read by itself, as the kernel is idle.
  await expect(row).toContainText(/ndarray.*Cell \[6\] line 2.*61\.0 MiB/);
  await expect(overview.locator('.fil-now')).toContainText(
    /[\d.]+ MiB [\d.]+ % of this (container|machine)'s [\d.]+ GiB/,
  );
  await expect(overview.locator('tr').filter({ hasText: /^smaller list/ })).toContainText(
    /Cell \[7\] line 1.*[67]\.\d MiB/,
  );
  for (const theme of ['Dark', 'Light'] as const) {
    await setTheme(page, `JupyterLab ${theme}`);
    await takePicture(`overview-${theme.toLowerCase()}.png`, overview);
    expect(await unreadable(overview)).toEqual([]);
  }
  await row.getByRole('button', { name: 'Cell [6] line 2' }).click();
  await expect(cells.nth(0).locator('.cm-editor')).toHaveClass(/cm-focused/);
  expect(await page.evaluate(() => getSelection()?.toString())).toBe('numbers = np.ones(8_000_000)');
});

test('the overview follows what the kernel does', async () => {
  const overview = page.locator('.fil-overview');
  await page.evaluate(() => {
    const kernel = window.jupyterapp.shell.currentWidget?.sessionContext.session?.kernel;
    return kernel?.requestExecute({ code: 'later = bytearray(9_000_000)' }).done.then(() => undefined);
  });
  await expect(overview.locator('tr').filter({ hasText: 'later' })).toContainText(/8\.6 MiB/);
  await overview.getByRole('button', { name: 'Refresh' }).click();
  await expect(overview.locator('tr').filter({ hasText: 'later' })).toContainText(/8\.6 MiB/);
  await command(page, 'application:toggle-right-area');
});

test('the palette and the menu "Run" have the commands', async () => {
  await activate(1);
  const stamp = await cells.nth(1).locator('.jp-InputPrompt').textContent();
  await command(page, 'apputils:activate-command-palette');
  await page.locator('#command-palette input').fill('profile this cell');
  await page.keyboard.press('Enter');
  await expect(cells.nth(1).locator('.jp-InputPrompt')).not.toHaveText(stamp ?? '');
  await expect(cells.nth(1).locator('.jp-InputPrompt')).toHaveText(/\[\d+\]:/);
  await kernelIdle(page);
  await page.locator('.lm-MenuBar-item').getByText('Run', { exact: true }).click();
  await expect(page.locator('.lm-Menu').getByText('Profile This Cell')).toBeVisible();
  await expect(page.locator('.lm-Menu').getByText('Profile All Cells')).toBeVisible();
  await page.keyboard.press('Escape');
  await page.locator('.lm-MenuBar-item').getByText('View', { exact: true }).click();
  await expect(page.locator('.lm-Menu').getByText('Show Memory Profiles')).toBeVisible();
  await page.keyboard.press('Escape');
});

test('lines of other cells are reached from the table and the picture', async () => {
  await write(4, 'def make():\n    big = bytearray(20_000_000)\n    return big');
  await activate(4);
  await command(page, 'notebook:run-cell');
  await expect(cells.nth(4).locator('.jp-InputPrompt')).toHaveText(/\[\d+\]:/);
  await write(5, 'made = make()');
  await profileCell(5);
  await expect(reportOf(5).locator('.fil-headline')).toContainText(/100 % at Cell \[\d+\] line 2: big = bytearray/);
  await reportOf(5).getByRole('tab', { name: 'Lines' }).click();
  await reportOf(5)
    .getByRole('button', { name: /^make \(Cell \[\d+\] line 2\)/ })
    .click();
  await expect(cells.nth(4).locator('.cm-editor')).toHaveClass(/cm-focused/);
  expect(await page.evaluate(() => getSelection()?.toString())).toBe('    big = bytearray(20_000_000)');
  await activate(5);
  await reportOf(5).getByRole('tab', { name: 'Flamegraph' }).click();
  await frame(reportOf(5), /^make/).click({ modifiers: ['Alt'] });
  await expect(cells.nth(4).locator('.cm-editor')).toHaveClass(/cm-focused/);
});

test('profiling all cells stops at the first that fails, which has its report', async () => {
  await command(page, 'filprofiler:profile-all');
  await expect(reportOf(2)).toHaveCount(1);
  await kernelIdle(page);
  await expect(cells.nth(2)).toContainText('ValueError: stop');
  await expect(reportOf(0)).toHaveCount(1);
  await expect(reportOf(1)).toHaveCount(1);
});

test('clearing the outputs takes the bars and everything else away', async () => {
  await expect(bars(0)).not.toHaveCount(0);
  await command(page, 'editmenu:clear-all');
  await expect(page.locator('.fil-report, .fil-tooltip, .fil-bar')).toHaveCount(0);
});

test('on another kernel it offers to switch, and profiles there', async () => {
  await command(page, 'kernelmenu:shutdown').catch(() => undefined);
  writeCells('other.ipynb', [`import numpy as np\n${WASTEFUL}`], 'python3');
  await openInLab(page, 'other.ipynb');
  await kernelIdle(page);
  await expect(button()).toBeEnabled();
  await expect(button()).toHaveAccessibleName(/switches to the kernel "Python 3 with Fil"/);
  await activate(0);
  await button().click();
  const dialog = page.getByRole('dialog');
  await expect(dialog).toContainText('Switch to the kernel "Python 3 with Fil"?');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await expect(cells.nth(0).locator('.jp-InputPrompt')).toHaveText('[ ]:');
  await button().click();
  await dialog.getByRole('button', { name: 'Switch Kernel' }).click();
  await expect(reportOf(0)).toHaveCount(1);
  await expect(page.locator('.jp-NotebookPanel-toolbar')).toContainText('Python 3 with Fil');
  await expect(button()).not.toHaveAccessibleName(/switches/);
});

test('Notebook 7 has the button, the bars and the comparison, too', async () => {
  await command(page, 'kernelmenu:shutdown').catch(() => undefined);
  const source = 'data = bytearray(50_000_000)\nmore = bytearray(20_000_000)';
  writeCells('seven.ipynb', [source], 'filprofile');
  await page.goto('/notebooks/seven.ipynb');
  // Notebook 7 does not show its application to tests.
  await cells.nth(0).locator('.jp-InputPrompt').click();
  await button().click();
  await expect(cells.nth(0).locator('.jp-InputPrompt')).toHaveText('[1]:');
  await expect(bars(0)).toHaveText(['47.7 MiB', '19.1 MiB']);
  await cells.nth(0).locator('.cm-line').nth(1).click();
  await page.keyboard.press('Shift+Home');
  await page.keyboard.type('#');
  await button().click();
  await expect(cells.nth(0).locator('.jp-InputPrompt')).toHaveText('[2]:');
  await expect(reportOf(0).locator('.fil-change')).toContainText('19.1 MiB less than in the last run');
  await frame(reportOf(0), /line 1/).click({ modifiers: ['Alt'] });
  await expect(cells.nth(0).locator('.cm-editor')).toHaveClass(/cm-focused/);
  await page.screenshot({ path: test.info().outputPath('notebook-7.png') });
});

test.describe('settings', () => {
  const url = '/lab/api/settings/filprofiler%3Aplugin';
  const save = async (settings: Record<string, unknown>): Promise<void> => {
    const cookies = await page.context().cookies();
    const token = cookies.find(({ name }) => name === '_xsrf')?.value ?? '';
    const answer = await page.request.put(url, {
      data: { raw: JSON.stringify(settings) },
      headers: { 'X-XSRFToken': token },
    });
    expect(answer.ok()).toBe(true);
  };

  test.afterAll(async () => {
    await save({});
  });

  test('decide on units, the first view, folding and bars', async () => {
    await save({ units: 'decimal', defaultView: 'lines', foldLibraries: false, barsInEditor: false });
    writeReports('settings.ipynb', [fixture('pandas')]);
    await openInLab(page, 'settings.ipynb');
    await expect(reportOf(0).locator('.fil-headline')).toContainText('Peak 2.0 GB on top of 536.9 MB');
    await expect(reportOf(0).getByRole('tab', { name: 'Lines' })).toHaveAttribute('aria-selected', 'true');
    await expect(reportOf(0).getByRole('checkbox', { name: 'fold library frames' })).not.toBeChecked();
    await expect(bars(0)).toHaveCount(0);
  });

  test('decide where reports are written', async () => {
    await save({ reportDirectory: 'written reports' });
    writeCells('settings.ipynb', ['data = bytearray(5_000_000)'], 'filprofile');
    await openInLab(page, 'settings.ipynb');
    await kernelIdle(page);
    await profileCell(0);
    await expect(cells.nth(0)).toContainText(/The report is also in .*written reports/);
    await command(page, 'kernelmenu:shutdown').catch(() => undefined);
  });

  test('decide how large a report may be', async () => {
    await save({ largestReport: 1 });
    writeReports('settings.ipynb', [largeReport(20_000), fixture('small')]);
    await openInLab(page, 'settings.ipynb');
    await expect(page.locator('.fil-unreadable')).toContainText('larger than 1 MiB');
    await expect(page.locator('.fil-unreadable pre')).toContainText('Peak 4.0 GiB');
    await expect(reportOf(1)).toHaveCount(1);
  });
});

test('nothing complained in the meantime', () => {
  expect(errors).toEqual([]);
});
