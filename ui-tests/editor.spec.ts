/**
 * Between the report and the editor: bars beside the lines, and the ways to a line. And each view of a report, in both themes.
 */
import { expect, test } from '@playwright/test';
import { unreadable } from './contrast.js';
import { frame, setTheme } from './lab.js';
import { LabNotebook, takePicture, WASTEFUL } from './lab-notebook.js';

test.describe.configure({ mode: 'serial' });

let notebook: LabNotebook;

test.beforeAll(async ({ browser }) => {
  notebook = await LabNotebook.withCells(browser, 'editor.ipynb', [
    WASTEFUL,
    'import numpy as np\ndef make():\n    big = bytearray(20_000_000)\n    return big',
    'made = make()',
  ]);
  await notebook.run(1);
  await notebook.profile(0);
});

test.afterAll(async () => {
  await notebook.close();
});

test('bars beside the lines show what each held at the peak', async () => {
  await expect(notebook.bars(0)).toHaveText([/^61\.0 MiB$/, /^61\.0 MiB$/, /^61\.0 MiB$/]);
  const lines = notebook.cells.nth(0).locator('.cm-line');
  const [bar, line] = [await notebook.bars(0).nth(0).boundingBox(), await lines.nth(1).boundingBox()];
  expect(Math.abs((bar?.y ?? 0) - (line?.y ?? 99))).toBeLessThan(6);
});

test('a click on a bar marks the frames of its line', async () => {
  await notebook.bars(0).nth(1).click();
  await expect(notebook.report(0).locator('g.fil-match').first()).toContainText('line 3');
  const marked = await notebook.report(0).locator('g.fil-match').allTextContents();
  expect(marked.some((text) => text.includes('line 2'))).toBe(false);
});

test('Alt and a click on a frame go to its line', async () => {
  await frame(notebook.report(0), /line 4/).click({ modifiers: ['Alt'] });
  await expect(notebook.cells.nth(0).locator('.cm-editor')).toHaveClass(/cm-focused/);
  expect(await notebook.selected()).toBe('total = (copy * 2).sum()');
});

for (const theme of ['Dark', 'Light'] as const) {
  test(`every view is readable in the ${theme.toLowerCase()} theme`, async () => {
    await setTheme(notebook.page, `JupyterLab ${theme}`);
    await notebook.page.mouse.move(0, 0);
    for (const [tab, name] of [
      ['Bottom up', 'bottom-up'],
      ['Lines', 'lines'],
      ['Over time', 'time'],
      ['Flamegraph', 'cell'],
    ] as const) {
      await notebook.report(0).getByRole('tab', { name: tab }).click();
      await takePicture(`${name}-${theme.toLowerCase()}.png`, notebook.cells.nth(0));
      expect(await unreadable(notebook.report(0)), tab).toEqual([]);
    }
  });
}

test('in little room the tools stand in two rows at most, and nothing is cut off', async () => {
  const { page } = notebook;
  const report = notebook.report(0);
  for (const [width, rows] of [
    [900, 1],
    [520, 2],
  ] as const) {
    await page.setViewportSize({ width, height: 1100 });
    await expect.poll(() => report.evaluate(({ clientWidth }) => clientWidth)).toBeLessThan(width);
    // A row has 31 pixels.
    expect((await report.locator('.fil-toolbar').boundingBox())?.height).toBeLessThan(40 * rows);
    expect(await report.evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)).toBe(0);
    await report.screenshot({ path: test.info().outputPath(`${width}.png`) });
  }
  await page.setViewportSize({ width: 1280, height: 1100 });
});

test('the bars go when the cell is edited', async () => {
  await notebook.cells.nth(0).locator('.cm-line').first().click();
  await notebook.page.keyboard.press('Home');
  await notebook.page.keyboard.type('#');
  await expect(notebook.bars(0)).toHaveCount(0);
});

test('lines of other cells are reached from the table and the picture', async () => {
  const [maker, report] = [notebook.cells.nth(1).locator('.cm-editor'), notebook.report(2)];
  await notebook.profile(2);
  await expect(report.locator('.fil-headline')).toContainText(/100 % at Cell \[1\] line 3: big = bytearray/);
  await report.getByRole('tab', { name: 'Lines' }).click();
  await report.getByRole('button', { name: /^make \(Cell \[1\] line 3\)/ }).click();
  await expect(maker).toHaveClass(/cm-focused/);
  expect(await notebook.selected()).toBe('    big = bytearray(20_000_000)');
  await notebook.activate(2);
  await report.getByRole('tab', { name: 'Flamegraph' }).click();
  await frame(report, /^make/).click({ modifiers: ['Alt'] });
  await expect(maker).toHaveClass(/cm-focused/);
});

test('nothing complained in the meantime', () => {
  expect(notebook.errors).toEqual([]);
});
