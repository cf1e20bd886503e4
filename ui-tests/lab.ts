/**
 * Lab as the tests drive it: by its commands where the test is not about them.
 */
import { expect, type Locator, type Page } from '@playwright/test';

/** The part of Lab's application that the tests use; there with `--expose-app-in-browser`. */
interface JupyterApp {
  readonly restored: Promise<void>;
  readonly commands: { execute(command: string, args?: Record<string, unknown>): Promise<unknown> };
  readonly shell: { readonly currentWidget: NotebookPanel | null };
}

interface NotebookPanel {
  readonly context: { readonly model: { readonly dirty: boolean } };
  readonly sessionContext: { readonly session: { readonly kernel: Kernel | null } | null };
  readonly content: {
    readonly rendermime: Rendermime;
    readonly widgets: readonly {
      readonly model: {
        readonly trusted: boolean;
        readonly sharedModel: { getSource(): string; setSource(source: string): void };
      };
    }[];
  };
}

interface Kernel {
  readonly status: string;
  requestExecute(content: { code: string }): { readonly done: Promise<unknown> };
  createComm(target: string, id: string): Record<'open' | 'close', () => { readonly done: Promise<unknown> }>;
}

interface Rendermime {
  createRenderer(mimeType: string): Renderer;
  createModel(options: { data: Record<string, unknown>; trusted: boolean }): unknown;
}

interface Renderer {
  readonly node: HTMLElement;
  renderModel(model: unknown): Promise<void>;
  dispose(): void;
}

declare global {
  interface Window {
    jupyterapp: JupyterApp;
  }
}

/** Notebook 7.6 has page errors of its own, whatever it shows. */
const NOTEBOOK_CODE = '/static/notebook/';

/** What Lab says of itself: the browser's note of a failed request, and its debugger's when a kernel is switched in mid-question. */
const LAB_SAYS = ['Failed to load resource', 'Could not restore the debugger state'];

/** What Lab or our code complained of in a page. */
export function collectErrors(page: Page): string[] {
  const errors: string[] = [];
  page.on('pageerror', ({ message, stack = '' }) => {
    if (!stack.includes(NOTEBOOK_CODE)) {
      errors.push(`${message}\n${stack}`);
    }
  });
  page.on('console', (message) => {
    if (message.type() === 'error' && !LAB_SAYS.some((words) => message.text().startsWith(words))) {
      errors.push(`${message.text()} (${message.location().url})`);
    }
  });
  return errors;
}

/** Opens a notebook in Lab with a clean workspace. */
export async function openInLab(page: Page, notebook: string): Promise<void> {
  await page.goto(`/lab/tree/${notebook}?reset`);
  await page.waitForFunction(() => 'jupyterapp' in window);
  await page.evaluate(() => window.jupyterapp.restored);
  await expect(page.locator('.jp-NotebookPanel .jp-Cell').first()).toBeVisible();
  // Room for the outputs.
  await page.evaluate(() => window.jupyterapp.commands.execute('application:toggle-left-area').catch(() => undefined));
}

/** Waits until the open notebook's kernel has nothing to do. */
export async function kernelIdle(page: Page): Promise<void> {
  await page.waitForFunction(
    () => window.jupyterapp.shell.currentWidget?.sessionContext.session?.kernel?.status === 'idle',
  );
}

export async function command(page: Page, name: string, args: Record<string, unknown> = {}): Promise<void> {
  await page.evaluate(([id, given]) => window.jupyterapp.commands.execute(id, given), [name, args] as const);
}

export async function setTheme(page: Page, theme: 'JupyterLab Light' | 'JupyterLab Dark'): Promise<void> {
  await command(page, 'apputils:change-theme', { theme });
  await expect(page.locator('body')).toHaveAttribute('data-jp-theme-light', String(theme === 'JupyterLab Light'));
  // Lab covers its window while it changes.
  await expect(page.locator('#jupyterlab-splash')).toHaveCount(0);
}

/** The frame of a report whose label contains a text. */
export function frame(report: Locator, text: string | RegExp): Locator {
  return report.locator('g.frame').filter({ hasText: text }).first();
}

/** Width of an element in the window, in pixels; -1 if it isn't shown. */
export async function widthOf(locator: Locator): Promise<number> {
  return (await locator.boundingBox())?.width ?? -1;
}
