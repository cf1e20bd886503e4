/**
 * A notebook that is open in Lab with a kernel that runs, as the tests of the extension's features use it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, expect, type Locator, type Page, test } from '@playwright/test';
import { collectErrors, command, kernelIdle, openInLab } from './lab.js';
import { IMAGES, NOTEBOOKS } from './lab-server.js';

/** Writes a notebook with a cell for each source, none of them run. */
export function writeCells(name: string, sources: readonly string[], kernel: string): void {
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

export class LabNotebook {
  readonly page: Page;
  readonly cells: Locator;
  /** What the page has complained of. */
  readonly errors: readonly string[];

  private constructor(page: Page) {
    this.page = page;
    this.cells = page.locator('.jp-CodeCell');
    this.errors = collectErrors(page);
  }

  /** A page without a notebook yet. */
  static async empty(browser: Browser): Promise<LabNotebook> {
    return new LabNotebook(await browser.newPage());
  }

  /** Writes a notebook and opens it. */
  static async withCells(
    browser: Browser,
    name: string,
    sources: readonly string[],
    kernel = 'filprofile',
  ): Promise<LabNotebook> {
    const notebook = await LabNotebook.empty(browser);
    writeCells(name, sources, kernel);
    await notebook.open(name);
    return notebook;
  }

  async open(name: string): Promise<void> {
    await openInLab(this.page, name);
    await kernelIdle(this.page);
  }

  async close(): Promise<void> {
    await command(this.page, 'kernelmenu:shutdown').catch(() => undefined);
    await this.page.close();
  }

  get button(): Locator {
    return this.page
      .locator('.jp-NotebookPanel-toolbar')
      .getByRole('button', { name: /^Run this cell and show which lines held the memory/ });
  }

  bars(nth: number): Locator {
    return this.cells.nth(nth).locator('.fil-bar');
  }

  report(nth: number): Locator {
    return this.cells.nth(nth).locator('.fil-report');
  }

  prompt(nth: number): Locator {
    return this.cells.nth(nth).locator('.jp-InputPrompt');
  }

  async activate(nth: number): Promise<void> {
    await this.prompt(nth).click();
    await expect(this.cells.nth(nth)).toHaveClass(/jp-mod-active/);
  }

  /** Runs a cell without a profile. */
  async run(nth: number): Promise<void> {
    await this.#untilRun(nth, () => command(this.page, 'notebook:run-cell'));
  }

  /** Runs a cell by the toolbar's button. */
  async profile(nth: number): Promise<void> {
    await this.#untilRun(nth, () => this.button.click());
    await expect(this.report(nth)).toHaveCount(1);
  }

  async #untilRun(nth: number, act: () => Promise<void>): Promise<void> {
    await this.activate(nth);
    const stamp = (await this.prompt(nth).textContent()) ?? '';
    await act();
    await expect(this.prompt(nth)).not.toHaveText(stamp);
    await expect(this.prompt(nth)).toHaveText(/\[\d+\]:/);
    await kernelIdle(this.page);
  }

  /** The text of a cell's editor. */
  async source(nth: number): Promise<string> {
    return this.page.evaluate(
      (at) => window.jupyterapp.shell.currentWidget?.content.widgets[at]?.model.sharedModel.getSource() ?? '',
      nth,
    );
  }

  async write(nth: number, source: string): Promise<void> {
    await this.page.evaluate(
      ([at, text]) => {
        window.jupyterapp.shell.currentWidget?.content.widgets[at]?.model.sharedModel.setSource(text);
      },
      [nth, source] as const,
    );
  }

  /** What is selected in an editor. */
  async selected(): Promise<string> {
    return this.page.evaluate(() => getSelection()?.toString() ?? '');
  }
}

/** A picture to look at; `npm run images` makes those of the documentation of it. */
export async function takePicture(name: string, of: Locator): Promise<void> {
  await of.evaluate((node) => {
    node.scrollIntoView({ block: 'start' });
  });
  const path = process.env['FIL_UPDATE_IMAGES'] === '1' ? join(IMAGES, name) : test.info().outputPath(name);
  await of.screenshot({ path });
}

/** The example of the tests: three arrays of 61 MiB at once. */
export const WASTEFUL = [
  '# Three arrays of 61 MiB at once',
  'numbers = np.ones(8_000_000)',
  'copy = numbers.copy()',
  'total = (copy * 2).sum()',
].join('\n');
