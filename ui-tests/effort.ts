/**
 * What the page's main thread works for something: on a machine that is busy with other things, the clock also measures those.
 */
import type { CDPSession, Page } from '@playwright/test';

export interface Effort {
  /** Of processor time of the page's main thread: scripts, layout, painting. */
  readonly milliseconds: number;
  /** Of the clock, to be told. */
  readonly elapsedMilliseconds: number;
}

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

  /** The effort of an act, until what it changed is on the screen. */
  async during(page: Page, act: () => Promise<unknown>): Promise<Effort> {
    const [before, began] = [await this.now(), performance.now()];
    await act();
    // What it changed is drawn in the coming frame; when the one after it begins, it is there.
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    return { milliseconds: (await this.now()) - before, elapsedMilliseconds: performance.now() - began };
  }
}

/** For the log. */
export function inWords(efforts: Readonly<Record<string, Effort>>): string {
  return Object.entries(efforts)
    .map(
      ([name, of]) => `${name} ${of.milliseconds.toFixed(0)} ms of work (${of.elapsedMilliseconds.toFixed(0)} elapsed)`,
    )
    .join(', ');
}
