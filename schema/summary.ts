/**
 * A report in words and in its top lines: the same sentences in the notebook's view, in the static form and in plain text.
 */
import { at } from './columns.js';
import { type Frame, frameAt, isUserCode, placeLabel } from './places.js';
import type { Report } from './report.js';
import { formatBytes, formatSeconds, formatShare } from './units.js';

/** A piece of a sentence: `strong` for what matters most, `code` for the user's own text. */
export interface Phrase {
  readonly kind: 'strong' | 'plain' | 'code';
  readonly text: string;
}

/** A line of the program with what it held at the peak. */
export interface Line {
  readonly frame: Frame;
  readonly bytes: number;
}

/** The peak's parts. `keptBytes` is 0 to `peakBytes`; with `temporaryBytes` it is the peak. */
export interface PeakSplit {
  readonly residentBeforeBytes: number | null;
  readonly keptBytes: number;
  readonly temporaryBytes: number;
}

/** A line is named in the headline if it held at least this share of the peak. */
const DOMINANT_SHARE = 0.5;
/** Characters of it that the headline shows; the picture has it all. */
const LONGEST_CODE = 44;

/** How much of the peak was still held at the end. */
export function splitPeak({ peakBytes, retainedBytes, residentBeforeBytes }: Report): PeakSplit {
  const keptBytes = Math.min(retainedBytes, peakBytes);
  return { residentBeforeBytes, keptBytes, temporaryBytes: peakBytes - keptBytes };
}

/**
 * The line of the user's own code that held most of the peak, itself or by what it called: of several on one call stack the innermost,
 * as that is the one to change.
 *
 * @returns null if no line of the user's code held half of the peak.
 */
export function dominantLine(report: Report): Line | null {
  const { parent, frame, totalBytes } = report.tree;
  let dominant: Line | null = null;
  // The nodes with more than half of the peak are one path from the root; in pre-order each stands behind its caller.
  for (let node = 0, above = -1; node < parent.length; node++) {
    const bytes = at(totalBytes, node);
    if (at(parent, node) !== above || bytes === 0 || bytes < DOMINANT_SHARE * report.peakBytes) {
      continue;
    }
    above = node;
    const here = frameAt(report, at(frame, node));
    if (isUserCode(here)) {
      dominant = { frame: here, bytes };
    }
  }
  return dominant;
}

/**
 * The lines that held the peak, most first: all memory is charged to the innermost line of the user's own code on its stack, and to the
 * innermost line at all where there is none. The bytes of all lines together are the peak.
 *
 * @param most how many lines at most.
 */
export function topLines(report: Report, most: number): Line[] {
  const { parent, frame, selfBytes } = report.tree;
  const isOwn = report.frames.kind.map((_, row) => isUserCode(frameAt(report, row)));
  const chargedFrame: number[] = [];
  const bytesOfFrame = new Map<number, number>();
  for (let node = 0; node < parent.length; node++) {
    const here = at(frame, node);
    const caller = node === 0 ? -1 : at(chargedFrame, at(parent, node));
    const charged = isOwn[here] === true || caller < 0 || isOwn[caller] !== true ? here : caller;
    chargedFrame.push(charged);
    const bytes = at(selfBytes, node);
    if (bytes > 0) {
      bytesOfFrame.set(charged, (bytesOfFrame.get(charged) ?? 0) + bytes);
    }
  }
  return [...bytesOfFrame]
    .sort(([, a], [, b]) => b - a)
    .slice(0, most)
    .map(([row, bytes]) => ({ frame: frameAt(report, row), bytes }));
}

/** The answer in one line: the peak, its parts, and the line that held most of it. */
export function headline(report: Report): Phrase[] {
  if (report.peakBytes === 0) {
    return [{ kind: 'strong', text: 'No memory was allocated' }];
  }
  const { residentBeforeBytes, keptBytes, temporaryBytes } = splitPeak(report);
  const before = residentBeforeBytes === null ? '' : ` on top of ${formatBytes(residentBeforeBytes)} in use before`;
  const phrases: Phrase[] = [
    { kind: 'strong', text: `Peak ${formatBytes(report.peakBytes)}` },
    {
      kind: 'plain',
      text: `${before}: ${formatBytes(keptBytes)} is kept, ${formatBytes(temporaryBytes)} was temporary.`,
    },
  ];
  const line = dominantLine(report);
  if (line !== null) {
    const share = formatShare(line.bytes, report.peakBytes);
    const { sourceLine } = line.frame;
    phrases.push({
      kind: 'plain',
      text: ` ${share} at ${placeLabel(line.frame, report.subject)}${sourceLine && ', '}`,
    });
    if (sourceLine !== '') {
      phrases.push({ kind: 'code', text: inShort(sourceLine) });
    }
  }
  return phrases;
}

/** A source line as far as it fits into a sentence. */
function inShort(sourceLine: string): string {
  const characters = Array.from(sourceLine);
  return characters.length <= LONGEST_CODE ? sourceLine : `${characters.slice(0, LONGEST_CODE - 1).join('')}…`;
}

/** What else there is to say of the run, under the headline: `4.8 s · ended with an error`. */
export function subline(report: Report): string {
  const parts = [formatSeconds(report.durationSeconds)];
  switch (report.outcome.kind) {
    case 'completed':
      break;
    case 'error':
      parts.push('ended with an error');
      break;
    case 'interrupted':
      parts.push('was interrupted');
      break;
    case 'died':
      parts.push('the process died');
      break;
  }
  return parts.join(' · ');
}

/** Says what the picture leaves out; null if it leaves out nothing. */
export function pruningStatement({ pruned, peakBytes }: Report): string | null {
  if (pruned.nodes === 0) {
    return null;
  }
  const frames = `${pruned.nodes.toLocaleString('en-US')} frame${pruned.nodes === 1 ? '' : 's'}`;
  return pruned.bytes === 0
    ? `${frames} in the middle of deep stacks are left out.`
    : `${frames} too small to show are left out; together they held ${formatBytes(pruned.bytes)}, ${formatShare(pruned.bytes, peakBytes)} of the peak.`;
}
