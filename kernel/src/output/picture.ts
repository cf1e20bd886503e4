/**
 * A flamegraph as one SVG file that is complete as it stands, and in a browser zooms, searches and tells what is under the pointer: its
 * script only moves what is written here. Callers above, callees below, as in the report's view.
 */
import { readFileSync } from 'node:fs';
import { at } from '../../../schema/columns.js';
import { requestPicture, type RequestPicture } from '../../../schema/failed-request.js';
import { fitting, MARGIN, NARROWEST, pictureLabel, shorten } from '../../../schema/picture.js';
import { frameInFull, subjectLabel } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { headline } from '../../../schema/summary.js';
import { bottomUp } from '../../../schema/tree/bottom-up.js';
import { flameFrames, type FlameFrame, type FlameTree } from '../../../schema/tree/model.js';
import { amountInWords } from '../../../schema/sampling.js';
import { formatBytes, formatShare } from '../../../schema/units.js';
import { bundled } from '../addon.js';
import { xmlText } from './xml.js';

/** Pixels, as a program draws it that runs no scripts; in a browser the picture takes the window's width. */
const WIDTH = 1200;
const LEVEL = 20;
const HEADER = 64;
const FOOTER = 28;
/** Between the request that failed and what was held. */
const GAP = 12;
const LONGEST_HEADLINE = 170;

/** Which way the call stacks are read: from the program's start, or from the lines that allocated. */
export type PictureDirection = 'callees' | 'callers';

/** The picture's style and script, made by scripts/build-report-page.mjs. */
export interface PictureParts {
  readonly style: string;
  readonly script: string;
}

/** @throws {Error} if they can't be read. */
export function bundledPictureParts(): PictureParts {
  return {
    style: readFileSync(bundled('picture.css'), 'utf8'),
    script: readFileSync(bundled('picture.js'), 'utf8'),
  };
}

/**
 * The SVG file in pieces.
 *
 * @param title plain text; the first line of the picture.
 * @throws {RangeError} if the report's tree is too deep to draw.
 */
export function* flamegraphSvg(
  report: Report,
  title: string,
  direction: PictureDirection,
  { style, script }: PictureParts,
): Generator<string> {
  const callees = flameFrames(report);
  const tree = direction === 'callees' ? callees : bottomUp(report, callees);
  const deepest = tree.reduce((most, { depth }) => Math.max(most, depth), 0);
  const request = requestPicture(report);
  const top = HEADER + (request === null ? 0 : (request.boxes.length + 1) * LEVEL + GAP);
  const height = top + (deepest + 1) * LEVEL + FOOTER;
  const answer = headline(report)[0]?.map(({ text }) => text) ?? [];
  const said = [subjectLabel(report.subject), direction === 'callers' ? 'callers below' : '', answer.join('')];
  const second = said.filter((part) => part !== '').join(' · ');
  yield `<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="11">
<title>${xmlText(title)}</title>
<style>${style}</style>
<rect class="paper" width="100%" height="100%"/>
<text class="heading" x="${MARGIN}" y="22">${xmlText(title)}</text>
<text class="soft" x="${MARGIN}" y="42">${xmlText(shorten(second, LONGEST_HEADLINE))}</text>
`;
  if (request !== null) {
    yield* requestBoxes(request);
  }
  yield `<g id="frames"${report.sampling === undefined ? '' : ` data-mean="${report.sampling.meanBytes}"`}>\n`;
  yield* frames(report, tree, top);
  yield `</g>
<text id="details" class="soft" x="${MARGIN}" y="${height - 10}"></text>
<text id="reset" class="button" x="${WIDTH - MARGIN}" y="42" text-anchor="end" visibility="hidden" tabindex="0" role="button">Reset Zoom</text>
<script><![CDATA[${script}]]></script>
</svg>
`;
}

/** Above what was held, and dashed: the stack of the request that failed. */
function* requestBoxes({ title, boxes }: RequestPicture): Generator<string> {
  yield `<g class="request"><text x="${MARGIN}" y="${HEADER + 14}" font-weight="600">${xmlText(title)}</text>\n`;
  const width = WIDTH - 2 * MARGIN;
  for (const [nth, { place, sourceLine, asked }] of boxes.entries()) {
    const y = HEADER + (nth + 1) * LEVEL;
    const label = shorten(`${place}  ${sourceLine}`.trim(), fitting(width - 6));
    yield `<g><title>${xmlText(`${place}\n${sourceLine}`.trim())}</title>` +
      `<rect${asked ? ' class="asked"' : ''} x="${MARGIN}" y="${y}" width="${width}" height="${LEVEL - 2}"/>` +
      `<text x="${MARGIN + 4}" y="${y + 13}">${xmlText(label)}</text></g>\n`;
  }
  yield '</g>\n';
}

function* frames(report: Report, tree: FlameTree, top: number): Generator<string> {
  const [{ value: whole }] = tree;
  const inner = WIDTH - 2 * MARGIN;
  /** Where the next callee of each frame begins, in parts of the whole. */
  const free = new Float64Array(tree.length);
  for (const frame of tree) {
    const left = frame.parent === null ? 0 : at(free, frame.parent.node);
    const part = frame.value / Math.max(1, whole);
    free[frame.node] = left;
    if (frame.parent !== null) {
      free[frame.parent.node] = left + part;
    }
    const width = part * inner;
    const x = MARGIN + left * inner;
    const y = top + frame.depth * LEVEL;
    const words = wordsOf(frame, report);
    yield `<g class="${shade(frame)}" data-x="${places(left, 7)}" data-w="${places(part, 7)}" data-d="${frame.depth}"${sampledAttributes(frame, report)}${width < NARROWEST ? ' display="none"' : ''}>` +
      `<title>${xmlText(words.join('\n'))}</title>` +
      `<rect x="${places(x, 2)}" y="${y}" width="${places(width, 2)}" height="${LEVEL - 1}"/>` +
      `<text x="${places(x + 3, 2)}" y="${y + 14}">${xmlText(pictureLabel(words, width))}</text></g>\n`;
  }
}

/** From which the picture's script makes the interval of what a search finds. */
function sampledAttributes({ value, sampledBytes }: FlameFrame, { sampling }: Report): string {
  return sampling === undefined ? '' : ` data-b="${value}" data-s="${sampledBytes}"`;
}

/** What is told of a frame, a line each: where it is, its source line if that is known, and what it held. */
function wordsOf({ frame, parent, value, sampledBytes, subject }: FlameFrame, report: Report): string[] {
  const where = parent === null ? subjectLabel(subject) : frameInFull(frame);
  const share = formatShare(value, report.peakBytes);
  // To the byte only what was counted.
  const held =
    report.sampling === undefined
      ? `${formatBytes(value)}, ${share} (${value} bytes)`
      : `${amountInWords(value, sampledBytes, report.sampling)}, ${share}`;
  return [where, ...(frame.sourceLine === '' ? [] : [frame.sourceLine]), held];
}

function shade({ frame, heat }: FlameFrame): string {
  return frame.kind === 'other' || frame.kind === 'skipped-callers' ? 'rest' : `heat-${heat}`;
}

/** A number with so many decimals at most. */
function places(value: number, decimals: number): string {
  return String(Number(value.toFixed(decimals)));
}
