/**
 * What the page's main thread works for something: on a machine that is busy with other things, the clock also measures those.
 */
import { type CDPSession, expect, type Page, test } from '@playwright/test';

/** Measures what a page does between two moments. Made before the page works, as Chromium begins to count then. */
export class EffortMeter {
  readonly #session: CDPSession;

  private constructor(session: CDPSession) {
    this.#session = session;
  }

  static async of(page: Page): Promise<EffortMeter> {
    const session = await page.context().newCDPSession(page);
    await session.send('Performance.enable', { timeDomain: 'threadTicks' });
    return new EffortMeter(session);
  }

  /** Processor time so far, in milliseconds. */
  async now(): Promise<number> {
    const { metrics } = await this.#session.send('Performance.getMetrics');
    return 1000 * (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? NaN);
  }

  /**
   * Processor time that an act takes, until what it changed is on the screen, in milliseconds: scripts, layout and painting of the page's
   * main thread.
   */
  async during(page: Page, act: () => Promise<unknown>): Promise<number> {
    const before = await this.now();
    await act();
    // What it changed is drawn in the coming frame; when the one after it begins, it is there.
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    return (await this.now()) - before;
  }
}

/** What a figure has to be below, and what it is; `npm run bench:lab` collects them. */
export interface Figure {
  readonly what: string;
  readonly measured: number;
  readonly most: number;
  readonly unit: 'ms' | 'KB';
}

/** The annotation of a test that holds a {@link Figure}. */
export const FIGURE = 'figure';

/** Says a figure, keeps it for the benchmark, and checks it. */
export function judge(figure: Figure): void {
  const { what, measured, most, unit } = figure;
  console.log(`${what}: ${measured.toFixed(0)} ${unit}, at most ${most} ${unit}`);
  test.info().annotations.push({ type: FIGURE, description: JSON.stringify(figure) });
  expect(measured, what).toBeLessThan(most);
}
