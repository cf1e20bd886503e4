/**
 * What a reader does not see as long as it is right: nothing jumps, nothing stays behind, nobody is left out.
 */
import { type CDPSession, expect, type Locator, type Page, test } from '@playwright/test';
import { largeReport } from '../schema/fixtures/large-report.js';
import { collectErrors, command, openInLab } from './lab.js';
import { fixture, writeReports } from './notebooks.js';

test.describe.configure({ mode: 'serial' });

let page: Page;
let session: CDPSession;
let errors: string[];
let report: Locator;

test.beforeAll(async ({ browser }) => {
  page = await browser.newPage();
  session = await page.context().newCDPSession(page);
  errors = collectErrors(page);
  report = page.locator('.fil-report').first();
});

test.afterAll(async () => {
  await page.close();
});

test('a report has its final height in the frame in which it appears', async () => {
  await page.addInitScript(() => {
    const sizes: string[] = [];
    Object.assign(window, { sizes });
    const look = (): void => {
      const { width, height } = document.querySelector('.fil-output')?.getBoundingClientRect() ?? {
        width: 0,
        height: 0,
      };
      const size = `${width} by ${height}`;
      if (height > 0 && !sizes.includes(size)) {
        sizes.push(size);
      }
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  writeReports('steady.ipynb', [fixture('pandas')]);
  await openInLab(page, 'steady.ipynb');
  await expect(report.locator('g.frame').first()).toBeVisible();
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 500)));
  const sizes = await page.evaluate(() => (window as unknown as { sizes: string[] }).sizes);
  // Lab's left area may still be open at first, which leaves another width: one height for each.
  const widths = sizes.map((size) => size.split(' ')[0]);
  expect(sizes.length, sizes.join(', ')).toBeGreaterThan(0);
  expect(new Set(widths).size, sizes.join(', ')).toBe(sizes.length);
});

test('nothing moves when a view is drawn, is zoomed or changes back', async () => {
  await page.evaluate(() => {
    const shifts: number[] = [];
    Object.assign(window, { shifts });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) {
        if (!entry.hadRecentInput) {
          shifts.push(entry.value);
        }
      }
    }).observe({ type: 'layout-shift' });
    // By the page itself: what follows a reader's own click would not count.
    const click = (selector: string): void => {
      document.querySelector<HTMLElement>(selector)?.dispatchEvent(new MouseEvent('click', { bubbles: true }));
    };
    const steps = ['g.frame:nth-of-type(2)', '.fil-toolbar .fil-button', '.fil-fold input', '.fil-fold input'];
    return steps.reduce(
      (before, step) =>
        before.then(() => {
          click(step);
          return new Promise((resolve) => setTimeout(resolve, 400));
        }),
      Promise.resolve<unknown>(undefined),
    );
  });
  const shifts = await page.evaluate(() => (window as unknown as { shifts: number[] }).shifts);
  // Google's limit for a page that feels steady is 0.1.
  expect(shifts.reduce((sum, shift) => sum + shift, 0)).toBeLessThan(0.1);
});

test('the memory of a report is released when its output is cleared', async () => {
  writeReports('released.ipynb', [largeReport(5000), fixture('pandas')]);
  await openInLab(page, 'released.ipynb');
  await expect(page.locator('.fil-report')).toHaveCount(2);
  await expect(report.locator('g.frame').first()).toBeVisible();
  await page.evaluate(() => {
    // By the page itself: who tests keeps hold of what it clicked on.
    document.querySelectorAll<HTMLElement>('.fil-tab')[1]?.click();
    document.querySelector('g.frame')?.dispatchEvent(new MouseEvent('mouseover', { bubbles: true }));
    const refs = Array.from(
      document.querySelectorAll('.fil-report, .fil-flame, .fil-tooltip'),
      (node) => new WeakRef(node),
    );
    Object.assign(window, { refs });
  });
  await page.mouse.move(0, 0);
  await command(page, 'editmenu:clear-all');
  await expect(page.locator('.fil-report, .fil-tooltip')).toHaveCount(0);
  const left = async (): Promise<string[]> => {
    await session.send('HeapProfiler.collectGarbage');
    return page.evaluate(() =>
      (window as unknown as { refs: WeakRef<Element>[] }).refs.flatMap((ref) => ref.deref()?.className ?? []),
    );
  };
  await expect.poll(left).toEqual([]);
});

test('colours tell what they tell to readers who see other colours', async () => {
  const latest = fixture('pandas');
  const other = structuredClone(latest);
  // One line is gone since then, and one is new.
  other.frames.sourceLine = other.frames.sourceLine.map((text) => text.replace(/^merged = .*/, 'plot(flights)'));
  writeReports('colours.ipynb', [latest, other]);
  await openInLab(page, 'colours.ipynb');
  await report.getByRole('button', { name: 'Copy, save, compare' }).click();
  await page.getByRole('menuitem', { name: /^Cell \[7\]/ }).click();
  await expect(report.locator('.fil-shades [data-delta]')).toHaveCount(7);
  for (const type of ['none', 'protanopia', 'deuteranopia', 'tritanopia', 'achromatopsia'] as const) {
    await session.send('Emulation.setEmulatedVisionDeficiency', { type });
    const less = await colourOf(report.locator('.fil-shades [data-delta="-3"]'));
    const same = await colourOf(report.locator('.fil-shades [data-delta="0"]'));
    const more = await colourOf(report.locator('.fil-shades [data-delta="3"]'));
    await report.screenshot({ path: test.info().outputPath(`${type}.png`) });
    expect(distance(less, same), `less and same, ${type}`).toBeGreaterThan(60);
    expect(distance(more, same), `more and same, ${type}`).toBeGreaterThan(60);
    if (type !== 'achromatopsia') {
      // Who sees no colours has the signs: each frame has its difference in words.
      expect(distance(less, more), `less and more, ${type}`).toBeGreaterThan(60);
    }
  }
  await report.getByRole('button', { name: 'Stop comparing' }).click();
  for (const type of ['protanopia', 'deuteranopia', 'tritanopia', 'achromatopsia', 'none'] as const) {
    await session.send('Emulation.setEmulatedVisionDeficiency', { type });
    const lightness: number[] = [];
    for (let heat = 1; heat <= 7; heat++) {
      const [red = 0, green = 0, blue = 0] = await colourOf(report.locator(`.fil-shades [data-heat="${heat}"]`));
      lightness.push(0.2126 * red + 0.7152 * green + 0.0722 * blue);
    }
    // Darker and darker: the order is there without colours.
    expect(
      [...lightness].sort((a, b) => b - a),
      type,
    ).toEqual(lightness);
  }
});

/** Colour in the middle of an element, as it is on the screen: red, green, blue from 0 to 255. */
async function colourOf(locator: Locator): Promise<number[]> {
  const png = (await locator.screenshot()).toString('base64');
  return page.evaluate(async (data) => {
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.width = image.width;
    canvas.height = image.height;
    const context = canvas.getContext('2d');
    context?.drawImage(image, 0, 0);
    const pixel = context?.getImageData(Math.floor(image.width / 2), Math.floor(image.height / 2), 1, 1).data ?? [];
    return Array.from(pixel).slice(0, 3);
  }, png);
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(...a.map((value, nth) => value - (b[nth] ?? 0)));
}

test('nothing complained in the meantime', () => {
  expect(errors).toEqual([]);
});
