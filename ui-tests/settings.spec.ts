/**
 * The user's settings, stored as Lab's settings editor stores them.
 */
import { expect, test } from '@playwright/test';
import { largeReport } from '../schema/fixtures/large-report.js';
import { command, openInLab } from './lab.js';
import { LabNotebook, writeCells } from './lab-notebook.js';
import { fixture, writeReports } from './notebooks.js';

test.describe.configure({ mode: 'serial' });

let notebook: LabNotebook;

test.beforeAll(async ({ browser }) => {
  notebook = await LabNotebook.empty(browser);
  // For the cookie with which settings are saved.
  await notebook.page.goto('/lab?reset');
});

const url = '/lab/api/settings/filprofiler%3Aplugin';
const save = async (settings: Record<string, unknown>): Promise<void> => {
  const cookies = await notebook.page.context().cookies();
  const token = cookies.find(({ name }) => name === '_xsrf')?.value ?? '';
  const answer = await notebook.page.request.put(url, {
    data: { raw: JSON.stringify(settings) },
    headers: { 'X-XSRFToken': token },
  });
  expect(answer.ok()).toBe(true);
};

test.afterAll(async () => {
  await save({});
  await notebook.close();
});

test('decide on units, the first view, folding and bars', async () => {
  await save({ units: 'decimal', defaultView: 'lines', foldLibraries: false, barsInEditor: false });
  writeReports('settings.ipynb', [fixture('pandas')]);
  await openInLab(notebook.page, 'settings.ipynb');
  await expect(notebook.report(0).locator('.fil-headline')).toContainText('Peak 2.0 GB on top of 536.9 MB');
  await expect(notebook.report(0).getByRole('tab', { name: 'Lines' })).toHaveAttribute('aria-selected', 'true');
  await expect(notebook.report(0).getByRole('checkbox', { name: 'fold library frames' })).not.toBeChecked();
  await expect(notebook.bars(0)).toHaveCount(0);
});

test('decide where reports are written', async () => {
  await save({ reportDirectory: 'written reports' });
  writeCells('settings.ipynb', ['data = bytearray(5_000_000)'], 'filprofile');
  await notebook.open('settings.ipynb');
  await notebook.profile(0);
  await expect(notebook.cells.nth(0)).toContainText(/The report is also in .*written reports/);
  await command(notebook.page, 'kernelmenu:shutdown').catch(() => undefined);
});

test('decide what a cell may hold, what has to be left, and whether anything is done about it', async () => {
  await save({ cellLimit: '50MB', guardHeadroom: '500MB', guard: false });
  const wish = "print(get_ipython().parent_header['metadata']['fil'])";
  writeCells('settings.ipynb', ['data = bytearray(80_000_000)', wish], 'filprofile');
  await notebook.open('settings.ipynb');
  await notebook.profile(0);
  await expect(notebook.cells.nth(0)).toContainText('MemoryError: With');
  // What was asked for stands apart from what was held.
  await expect(notebook.report(0).locator('.fil-request')).toContainText('Requested, but never held: 76.3 MiB');
  await expect(notebook.report(0).locator('.fil-request-asked')).toContainText('data = bytearray(80_000_000)');
  await notebook.profile(1);
  await expect(notebook.cells.nth(1)).toContainText("'limit': '50MB', 'guard': False, 'headroom': '500MB'");
  await command(notebook.page, 'kernelmenu:shutdown').catch(() => undefined);
});

test('decide how large a report may be', async () => {
  await save({ largestReport: 1 });
  writeReports('settings.ipynb', [largeReport(20_000), fixture('small')]);
  await openInLab(notebook.page, 'settings.ipynb');
  await expect(notebook.page.locator('.fil-unreadable')).toContainText('larger than 1 MiB');
  await expect(notebook.page.locator('.fil-unreadable pre')).toContainText('Peak 4.0 GiB');
  await expect(notebook.report(1)).toHaveCount(1);
});

test('nothing complained in the meantime', () => {
  expect(notebook.errors).toEqual([]);
});
