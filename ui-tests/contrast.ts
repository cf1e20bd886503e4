/**
 * How well the text of a report can be read.
 */
import type { Locator } from '@playwright/test';

/** What WCAG 2 asks of text of this size (AA). */
const ENOUGH = 4.5;

/** Texts in an element whose contrast to what is behind them, as WCAG 2 defines it, is not enough; with the contrast. */
export async function unreadable(within: Locator): Promise<string[]> {
  return within.evaluate((root, enough) => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = (colour: string): number[] => {
      if (canvas === null) {
        return [];
      }
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      return Array.from(canvas.getImageData(0, 0, 1, 1).data);
    };
    const luminance = ([red = 0, green = 0, blue = 0]: number[]): number => {
      const [r = 0, g = 0, b = 0] = [red, green, blue].map((value) =>
        value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4,
      );
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element: Element): number[] => {
      const box = element.closest('g.frame')?.querySelector('rect');
      if (box) {
        return rgba(getComputedStyle(box).fill);
      }
      for (let above: Element | null = element; above !== null; above = above.parentElement) {
        const colour = rgba(getComputedStyle(above).backgroundColor);
        if (colour[3] === 255) {
          return colour;
        }
      }
      return [255, 255, 255];
    };
    /** As it looks where it is translucent. */
    const mixed = (over: number[], under: number[], opacity: number): number[] =>
      over.map((value, nth) => value * opacity + (under[nth] ?? 0) * (1 - opacity));
    const found: string[] = [];
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      const text = walker.currentNode.textContent?.trim() ?? '';
      // Disabled controls are excepted, and what is for screen readers can't be seen.
      if (text === '' || element?.checkVisibility() !== true || element.closest(':disabled, .fil-spoken') !== null) {
        continue;
      }
      const style = getComputedStyle(element);
      const under = behind(element);
      let opacity = 1;
      for (let above: Element | null = element; above !== null && above !== root; above = above.parentElement) {
        opacity *= Number(getComputedStyle(above).opacity);
      }
      const colour = element instanceof SVGElement ? style.fill : style.color;
      const [light = 0, dark = 0] = [luminance(mixed(rgba(colour), under, opacity)), luminance(under)].sort(
        (a, b) => b - a,
      );
      const ratio = (light + 0.05) / (dark + 0.05);
      if (ratio < enough) {
        found.push(`${text}: ${ratio.toFixed(1)}`);
      }
    }
    return found;
  }, ENOUGH);
}
