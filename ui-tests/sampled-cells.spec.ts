/**
 * Every cell shows what it held, beside the notebook and not in it.
 */
import { expect, type Locator, test } from '@playwright/test';
import { command, kernelIdle } from './lab.js';
import { LabNotebook, takePicture, writeCells } from './lab-notebook.js';

test.describe.configure({ mode: 'serial' });

let notebook: LabNotebook;

const ALLOCATE = 'data = [bytearray(1_000_000) for _ in range(40)]\nlen(data)';

const badge = (nth: number): Locator => notebook.cells.nth(nth).locator('.fil-badge');
const figures = (nth: number): Locator => badge(nth).getByRole('button').first();

const save = async (settings: Record<string, unknown>): Promise<void> => {
  const cookies = await notebook.page.context().cookies();
  const token = cookies.find(({ name }) => name === '_xsrf')?.value ?? '';
  const answer = await notebook.page.request.put('/lab/api/settings/filprofiler%3Aplugin', {
    data: { raw: JSON.stringify(settings) },
    headers: { 'X-XSRFToken': token },
  });
  expect(answer.ok()).toBe(true);
};

const stored = (): Promise<string> =>
  notebook.page.evaluate(() =>
    fetch('/api/contents/sampled-cells.ipynb?content=1').then((response) => response.text()),
  );

test.beforeAll(async ({ browser }) => {
  notebook = await LabNotebook.empty(browser);
  await notebook.page.goto('/lab?reset');
});

test.afterAll(async () => {
  await save({});
  await notebook.close();
});

test('a cell has no badge in another kernel, and no room for one', async () => {
  writeCells('other-kernel.ipynb', [ALLOCATE], 'python3');
  await notebook.open('other-kernel.ipynb');
  await notebook.run(0);
  await expect(badge(0)).toHaveCount(0);
  await expect(notebook.page.locator('.fil-samples')).toHaveCount(0);
  await command(notebook.page, 'kernelmenu:shutdown');
});

test('a cell has no badge where the setting is off', async () => {
  await save({ sampleCells: false });
  writeCells('sampled-cells.ipynb', [ALLOCATE, 'small = 1'], 'filprofile');
  await notebook.open('sampled-cells.ipynb');
  await notebook.run(0);
  await expect(badge(0)).toHaveCount(0);
  await expect(notebook.page.locator('.fil-samples')).toHaveCount(0);
});

test('each cell has one who has set nothing, with its peak, what it kept, its time, and the intervals', async () => {
  await save({});
  await notebook.open('sampled-cells.ipynb');
  await notebook.run(0);
  await expect(figures(0)).toContainText(/≈ Peak 3\d\.\d MiB · kept 3\d\.\d MiB · /);
  await expect(figures(0)).toHaveAttribute('title', /Peak 3\d\.\d MiB \(± [\d.]+ %\), kept .* in 95 of 100 cases/);
  // Once in a while one of its few bytes is in the sample.
  await expect(async () => {
    await notebook.run(1);
    await expect(figures(1)).toContainText('Peak below 95.9 KiB', { timeout: 3000 });
  }).toPass();
  await expect(figures(1)).toBeDisabled();
  await expect(notebook.cells.nth(0).locator('.jp-OutputArea-output')).toHaveCount(1);
});

test('a cell that held next to nothing shows it to who comes near', async () => {
  const { page, cells } = notebook;
  await notebook.activate(0);
  await page.mouse.move(0, 0);
  await expect(figures(0)).toHaveCSS('opacity', '1');
  await expect(badge(0).getByRole('button')).toHaveCount(1);
  await expect(figures(1)).toHaveCSS('opacity', '0');
  await cells.nth(1).hover();
  await expect(figures(1)).toHaveCSS('opacity', '1');
});

test('nothing moves when it comes or goes, and a saved notebook stays saved', async () => {
  const { page, cells } = notebook;
  const height = async (): Promise<number> => (await cells.nth(1).boundingBox())?.height ?? -1;
  await command(page, 'notebook:clear-all-cell-outputs');
  await expect(badge(1)).toHaveCount(0);
  const before = await height();
  await notebook.run(1);
  await expect(badge(1)).toHaveCount(1);
  expect(await height()).toBe(before);
  await notebook.run(0);
  await expect(badge(0)).toHaveCount(1);
  await command(page, 'docmanager:save');
  const isDirty = (): Promise<boolean | undefined> =>
    page.evaluate(() => window.jupyterapp.shell.currentWidget?.context.model.dirty);
  await expect.poll(isDirty).toBe(false);
  await figures(0).click();
  await expect(notebook.report(0).locator('.fil-headline')).toBeVisible();
  expect(await isDirty()).toBe(false);
  // The keys stay with the notebook.
  expect(await badge(0).evaluate((node) => node.contains(document.activeElement))).toBe(false);
  await figures(0).click();
  await expect(notebook.report(0)).toHaveCount(0);
});

test('one click opens its flamegraph, another closes it', async () => {
  await figures(0).click();
  await expect(notebook.report(0).locator('.fil-headline')).toContainText(/Peak 3\d\.\d MiB ± /);
  await expect(notebook.report(0)).toContainText('This is a sample');
  await takePicture('sampled-cell.png', notebook.cells.nth(0));
  await figures(0).click();
  await expect(notebook.report(0)).toHaveCount(0);
});

test('keys press it, too, and it says whether it is open', async () => {
  await figures(0).focus();
  await notebook.page.keyboard.press('Enter');
  await expect(figures(0)).toHaveAttribute('aria-expanded', 'true');
  await expect(notebook.report(0).locator('.fil-headline')).toBeVisible();
  await figures(0).focus();
  await notebook.page.keyboard.press('Space');
  await expect(figures(0)).toHaveAttribute('aria-expanded', 'false');
});

test('another page on the same kernel shows the same', async ({ browser }) => {
  const page = await browser.newPage();
  await page.goto('/lab/workspaces/other/tree/sampled-cells.ipynb');
  await expect(page.locator('.jp-CodeCell').first().locator('.fil-badge')).toContainText(/≈ Peak 3\d\.\d MiB/);
  await page.close();
});

test('a page that leaves ends it for itself alone', async () => {
  const { page } = notebook;
  await page.evaluate(async () => {
    const kernel = window.jupyterapp.shell.currentWidget?.sessionContext.session?.kernel;
    // The kernel asks who is there, and waits a minute.
    await kernel?.requestExecute({ code: 'import filprofiler._sampled_cells as m; m.PATIENCE_SECONDS = 0.5' }).done;
    const comm = kernel?.createComm('filprofiler.sampled-cells', 'filprofiler.sampled-cells.other');
    await comm?.open().done;
    await comm?.close().done;
  });
  await page.waitForTimeout(1000);
  await notebook.run(0);
  await expect(figures(0)).toContainText(/≈ Peak 3\d\.\d MiB/);
});

test('the overview lists sampled cells as estimates', async () => {
  const overview = notebook.page.locator('.fil-overview');
  await command(notebook.page, 'filprofiler:show-overview');
  await expect(overview.locator('table').first().locator('tbody tr')).toHaveCount(2);
  await expect(overview.locator('table').first().locator('tbody tr').first()).toContainText(/≈ 3\d\.\d MiB/);
});

test('nothing of it is stored until the reader asks', async () => {
  await command(notebook.page, 'docmanager:save');
  expect(await stored()).not.toContain('vnd.fil');
  await badge(0).hover();
  await badge(0).getByRole('button', { name: 'Keep' }).click();
  await expect(badge(0)).toHaveCount(0);
  await expect(notebook.report(0)).toHaveCount(1);
  await command(notebook.page, 'docmanager:save');
  expect(await stored()).toContain('vnd.fil');
});

test('"Exact" runs the cell again and counts every allocation', async () => {
  await badge(1).hover();
  await badge(1).getByRole('button', { name: 'Exact' }).click();
  await expect(notebook.report(1)).toHaveCount(1);
  await expect(notebook.report(1)).not.toContainText('This is a sample');
  await expect(badge(1)).toHaveCount(0);
});

test('a run that was looked at is what the next one is compared with, also where that is exact', async () => {
  await notebook.run(0);
  await figures(0).click();
  await notebook.write(0, ALLOCATE.replace('40', '20'));
  await notebook.run(0);
  await figures(0).click();
  const change = notebook.report(0).locator('.fil-change');
  await expect(change).toContainText(/19\.\d MiB \(± [\d.]+ %\) less than in the last run/);
  await change.getByRole('button', { name: 'compare' }).click();
  await expect(notebook.report(0).locator('.fil-compared')).toContainText(/peak 19\.\d MiB \(± [\d.]+ %\) less/);
  await expect(notebook.report(0).locator('.fil-label-bytes').first()).toContainText(/^≈ -19\.\d MiB$/);
  await notebook.cells.nth(0).screenshot({ path: test.info().outputPath('compared.png') });
  await notebook.write(0, ALLOCATE);
  await notebook.profile(0);
  await expect(change).toContainText(/19\.\d MiB \(± [\d.]+ %\) more than in the last run/);
  // Sampled again, for the tests that follow.
  await notebook.run(0);
});

test('a restarted kernel goes on with it', async () => {
  const { page } = notebook;
  const restarted = page.evaluate(() => window.jupyterapp.commands.execute('kernelmenu:restart').then(() => undefined));
  await page.getByRole('dialog').getByRole('button', { name: 'Confirm Kernel Restart' }).click();
  await restarted;
  await kernelIdle(page);
  await notebook.run(0);
  await expect(figures(0)).toContainText(/≈ Peak 3\d\.\d MiB/);
});

test('nothing complained in the meantime', () => {
  // Lab itself says so of its widgets' comms where two pages share a kernel.
  expect(notebook.errors.filter((error) => !error.startsWith('Comm not found'))).toEqual([]);
});
