/**
 * Files for other tools, opened in one of them: speedscope, as its authors publish it.
 */
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, type Page, test } from '@playwright/test';
import { collapsedStacks } from '../kernel/src/output/collapsed.js';
import { speedscopeJson } from '../kernel/src/output/speedscope.js';
import { collectErrors } from './lab.js';
import { fixture } from './notebooks.js';

const speedscope = path.join(
  path.dirname(createRequire(import.meta.url).resolve('speedscope/package.json')),
  'dist/release/index.html',
);

async function importIntoSpeedscope(page: Page, name: string, pieces: Iterable<string>): Promise<void> {
  const file = test.info().outputPath(name);
  writeFileSync(file, [...pieces].join(''));
  await page.goto(pathToFileURL(speedscope).href);
  await page.locator('input[type=file]').setInputFiles(file);
}

test('speedscope opens the collapsed stacks and the file in its own format', async ({ page }) => {
  const errors = collectErrors(page);
  const report = fixture('pandas');
  for (const [name, pieces] of [
    ['peak-memory.prof', collapsedStacks(report)],
    ['report.speedscope.json', speedscopeJson(report, 'Peak of the pandas example')],
  ] as const) {
    await importIntoSpeedscope(page, name, pieces);
    const title = name.endsWith('.json') ? 'Peak of the pandas example' : name;
    await expect(page.getByText(title, { exact: false }).first()).toBeVisible();
    // The table of its sandwich view is text, and not a picture.
    await page.getByText('Sandwich').click();
    await expect(page.getByText(/_take_nd_ndarray/).first()).toBeVisible();
    await page.screenshot({ path: test.info().outputPath(`${name}.png`) });
  }
  expect(errors).toEqual([]);
});
