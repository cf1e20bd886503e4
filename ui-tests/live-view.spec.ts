/**
 * A cell that takes a while shows how it is going, and afterwards its report in the same place.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, type Locator, type Page, test } from '@playwright/test';
import { LIVE_MIME_TYPE } from '../schema/live.js';
import { unreadable } from './contrast.js';
import { collectErrors, command, kernelIdle, openInLab, setTheme } from './lab.js';
import { IMAGES, NOTEBOOKS } from './lab-server.js';

test.describe.configure({ mode: 'serial' });

const GROW = [
  '%%filprofile',
  'import json, time',
  'def load(size):',
  '    time.sleep(0.15)',
  '    data = bytearray(size)',
  '    return data, list(range(size // 80))',
  '',
  'parts = [load(1_500_000) for _ in range(12)]',
  'copies = [(time.sleep(0.15), bytes(part[0])) for part in parts]',
].join('\n');
const PRINTS = `${GROW}\nprint("half way")\nfor _ in range(12): time.sleep(0.2)\nlen(copies)`;

let page: Page;
let errors: string[];
let live: Locator;

test.beforeAll(async ({ browser }) => {
  const cells = [GROW, PRINTS].map((source, number) => ({
    cell_type: 'code',
    id: `cell-${number}`,
    execution_count: null,
    metadata: {},
    source,
    outputs: [],
  }));
  const metadata = { kernelspec: { name: 'filprofile', display_name: 'Python 3 with Fil', language: 'python' } };
  writeFileSync(join(NOTEBOOKS, 'live.ipynb'), JSON.stringify({ cells, metadata, nbformat: 4, nbformat_minor: 5 }));
  page = await browser.newPage();
  errors = collectErrors(page);
  live = page.locator('.fil-live');
  await openInLab(page, 'live.ipynb');
  await kernelIdle(page);
});

test.afterAll(async () => {
  await command(page, 'kernelmenu:shutdown').catch(() => undefined);
  await page.close();
});

const peak = async (): Promise<number> =>
  Number(/Peak so far ([\d.]+) MiB/.exec((await live.textContent()) ?? '')?.[1]);

async function run(nth: number): Promise<void> {
  await page.locator('.jp-Cell').nth(nth).locator('.jp-InputArea-editor').click();
  // The command is done when the cell is.
  await page.evaluate(() => void window.jupyterapp.commands.execute('notebook:run-cell'));
}

test('a running cell shows its peak, what it holds now, the time and its lines, and goes on doing so', async () => {
  await run(0);
  await expect(live).toBeVisible();
  await expect(live.getByRole('group').or(live).first()).toHaveAttribute('aria-label', /running cell/);
  await expect(live.locator('.fil-headline')).toContainText(/Peak so far [\d.]+ MiB, now [\d.]+ MiB · \d+\.\d s/);
  await expect(live.getByRole('row').filter({ hasText: 'data = bytearray(size)' })).toContainText(/load, line 5/);
  const first = await peak();
  await expect.poll(peak).toBeGreaterThan(first + 3);
  await expect(live.getByRole('status')).toContainText('Peak so far');
});

for (const theme of ['Dark', 'Light'] as const) {
  test(`in the ${theme.toLowerCase()} theme its text is readable`, async () => {
    await expect(page.locator('.fil-report:not(.fil-live)')).toHaveCount(1);
    await setTheme(page, `JupyterLab ${theme}`);
    await run(0);
    await expect(live.getByRole('row')).not.toHaveCount(0);
    await expect.poll(peak).toBeGreaterThan(28);
    const name = `live-${theme.toLowerCase()}.png`;
    const path = process.env['FIL_UPDATE_IMAGES'] === '1' ? join(IMAGES, name) : test.info().outputPath(name);
    await page.mouse.move(0, 0);
    await page.locator('.jp-Cell').first().screenshot({ path });
    expect(await unreadable(live)).toEqual([]);
  });
}

test('the report takes its place, and nothing of it is stored', async () => {
  await expect(page.locator('.fil-report:not(.fil-live)')).toHaveCount(1);
  await expect(live).toHaveCount(0);
  await expect(page.locator('.jp-Cell').first().locator('.jp-OutputArea-child')).toHaveCount(1);
});

test('beside other output it leaves no gap', async () => {
  await run(1);
  await expect(page.locator('.jp-OutputArea-output').filter({ hasText: 'half way' })).toBeVisible();
  await expect(live).toBeVisible();
  await kernelIdle(page);
  const cell = page.locator('.jp-Cell').nth(1);
  await expect(cell.locator('.fil-report')).toBeVisible();
  await expect(live).toHaveCount(0);
  const heights = await cell
    .locator('.jp-OutputArea-child')
    .evaluateAll((outputs) =>
      outputs.map((output) => (output.textContent ? 1 : output.getBoundingClientRect().height)),
    );
  expect(Math.min(...heights)).toBe(0);
  await command(page, 'docmanager:save');
  const stored = await page.evaluate(async () => (await fetch('/api/contents/live.ipynb')).text());
  expect(stored).toContain('half way');
  expect(stored).not.toContain(LIVE_MIME_TYPE);
});

test('one that hears no more says so', async () => {
  const data = {
    version: 1,
    title: null,
    subject: { kind: 'cell', executionCount: 1, cellId: null },
    phase: 'running',
    elapsedSeconds: 12,
    currentBytes: 1000,
    peakBytes: 2000,
    lines: [],
    timeline: { seconds: [], bytes: [] },
    nextSeconds: 0.1,
  };
  await page.evaluate(
    async ([mimeType, content]) => {
      const { rendermime } = window.jupyterapp.shell.currentWidget?.content ?? {};
      const renderer = rendermime?.createRenderer(mimeType);
      document.querySelector('.jp-OutputArea')?.append(renderer?.node ?? '');
      await renderer?.renderModel(rendermime?.createModel({ data: { [mimeType]: content }, trusted: false }));
    },
    [LIVE_MIME_TYPE, data] as const,
  );
  await expect(live).toContainText('Peak so far 2.0 KiB, now 1000 B');
  await expect(live).toContainText('No news since then');
});

test('Lab and the extension had no error', () => {
  expect(errors).toEqual([]);
});
