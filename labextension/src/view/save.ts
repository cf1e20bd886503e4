/**
 * Takes a report out of the page: as text, as a picture, as a file.
 */
import { subjectLabel } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { say } from '../../../schema/words.js';

/** Pixels of a PNG for each of the picture, for sharp text on today's screens. */
const SCALE = 2;

/** Puts a text on the clipboard. @throws {Error} if the browser doesn't let us. */
export async function copyText(text: string): Promise<void> {
  const clipboard = (navigator as Partial<Navigator>).clipboard;
  if (clipboard === undefined) {
    throw new Error(say('The browser lets only pages that come over HTTPS or from this machine copy.'));
  }
  await clipboard.writeText(text);
}

/** The text of an SVG file. */
export function svgText(svg: SVGSVGElement): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(svg)}\n`;
}

/** @throws {Error} if the browser can't draw the picture. */
export async function toPng(svg: SVGSVGElement): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(svg))}`;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = Number(svg.getAttribute('width')) * SCALE;
  canvas.height = Number(svg.getAttribute('height')) * SCALE;
  canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => {
      if (blob === null) {
        reject(new Error(`The browser could not make a picture of ${canvas.width} by ${canvas.height} pixels.`));
      } else {
        resolve(blob);
      }
    }, 'image/png');
  });
}

/** Gives the reader a file to save. */
export function download(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has taken hold of it by then.
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, 10_000);
}

/** A name for a report's files, without an extension: `fil-cell-7`. */
export function fileName(report: Report): string {
  const words = (report.title ?? subjectLabel(report.subject)).toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-');
  return `fil-${words.replace(/^-+|-+$/g, '').slice(0, 60) || 'report'}`;
}
