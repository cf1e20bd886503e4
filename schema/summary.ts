/**
 * A report in words and in its top lines: the same sentences in the notebook's view, in the static form and in plain text.
 */
import { at } from './columns.js';
import { type Frame, frameAt, isUserCode, placeLabel } from './places.js';
import type { Variable } from './observed.js';
import type { Report } from './report.js';
import { formatBytes, formatSeconds, formatShare } from './units.js';
import { joinedTree } from './tree/of-process.js';
import { reasonInWords } from './out-of-memory.js';
import {
  amountInWords,
  excessInWords,
  intervalInWords,
  peakEstimate,
  remainderInWords,
  sampledKeptBytes,
  sampledPeakBytes,
  sampledTotals,
} from './sampling.js';
import { say } from './words.js';

/** A piece of a line: `strong` for what matters most, `soft` for what matters least, `code` for the user's own text. */
export interface Phrase {
  readonly kind: 'strong' | 'plain' | 'soft' | 'code';
  readonly text: string;
}

/** A line of the program with what it held at the peak. */
export interface Line {
  readonly frame: Frame;
  readonly bytes: number;
  /** What of it is estimated from samples; 0 if all was counted. */
  readonly sampledBytes: number;
  /** What of it is no memory of its own. */
  readonly mapped: MappedBytes;
}

/** Bytes that were mapped and not allocated. */
export interface MappedBytes {
  /** Pages of files, as many as were in memory. */
  fileBytes: number;
  sharedBytes: number;
}

/** Nothing yet, to {@link addMapped} to. */
export function noMappedBytes(): MappedBytes {
  return { fileBytes: 0, sharedBytes: 0 };
}

/** Adds what a frame holds itself, if it is a mapping. */
export function addMapped(to: MappedBytes, kind: Frame['kind'], bytes: number): void {
  if (kind === 'mapped-file') {
    to.fileBytes += bytes;
  } else if (kind === 'shared-memory') {
    to.sharedBytes += bytes;
  }
}

/** `10.0 MiB mapped files, 2.0 MiB shared memory`; empty if there is none. */
export function mappedInWords({ fileBytes, sharedBytes }: MappedBytes): string {
  return [
    ...(fileBytes === 0 ? [] : [say('%1 mapped files', formatBytes(fileBytes))]),
    ...(sharedBytes === 0 ? [] : [say('%1 shared memory', formatBytes(sharedBytes))]),
  ].join(', ');
}

/** What became of the peak's bytes. `keptBytes` is 0 to `peakBytes`; with `temporaryBytes` it is the peak. */
export interface PeakParts {
  readonly keptBytes: number;
  readonly temporaryBytes: number;
}

/** A line is named in the headline if it held at least this share of the peak. */
const DOMINANT_SHARE = 0.5;
/** Lines with less of the peak say nothing. */
export const SMALLEST_LINE_SHARE = 0.001;
/** Tracked and resident memory are the same to a reader within this share. */
const SAME_SHARE = 0.02;
/** Characters of it that the headline shows; the picture has it all. */
const LONGEST_CODE = 80;

/**
 * How much of the peak was still held at the end; null for a program that came to its end, as Python gives back nearly all when it shuts
 * down: that would call temporary what the program held as long as it ran.
 */
export function peakParts({ peakBytes, retainedBytes, subject, outcome }: Report): PeakParts | null {
  const hasShutDown = subject.kind === 'program' && outcome.kind !== 'running' && outcome.kind !== 'died';
  if (hasShutDown) {
    return null;
  }
  const keptBytes = Math.min(retainedBytes, peakBytes);
  return { keptBytes, temporaryBytes: peakBytes - keptBytes };
}

/**
 * The line of the user's own code that held most of the peak, itself or by what it called: of several on one call stack the innermost,
 * as that is the one to change. What several processes held there counts together.
 *
 * @returns null if no line of the user's code held half of the peak.
 */
export function dominantLine(report: Report): Pick<Line, 'frame' | 'bytes' | 'sampledBytes'> | null {
  const sampled = sampledTotals(report);
  const { parent, frame, totalBytes, sampledBytes } = report.frames.kind.includes('process')
    ? joinedTree(report, sampled)
    : { ...report.tree, sampledBytes: sampled };
  let dominant: Pick<Line, 'frame' | 'bytes' | 'sampledBytes'> | null = null;
  // The nodes with more than half of the peak are one path from the root; each stands behind its caller.
  for (let node = 0, above = -1; node < parent.length; node++) {
    const bytes = at(totalBytes, node);
    if (at(parent, node) !== above || bytes === 0 || bytes < DOMINANT_SHARE * report.peakBytes) {
      continue;
    }
    above = node;
    const here = frameAt(report, at(frame, node));
    if (isUserCode(here)) {
      dominant = { frame: here, bytes, sampledBytes: sampledBytes?.[node] ?? 0 };
    }
  }
  return dominant;
}

/**
 * The lines that held the peak, most first: all memory is charged to the innermost line of the user's own code on its stack, and to the
 * innermost line at all where there is none. The bytes of all lines together are the peak, but for lines with less than 0.1 % of it,
 * which are left out.
 *
 * @param most how many lines at most.
 */
export function topLines(report: Report, most: number): Line[] {
  const { parent, frame, selfBytes } = report.tree;
  const isOwn = report.frames.kind.map((_, row) => isUserCode(frameAt(report, row)));
  const chargedFrame: number[] = [];
  const ofFrame = new Map<number, { bytes: number; sampledBytes: number; readonly mapped: MappedBytes }>();
  for (let node = 0; node < parent.length; node++) {
    const here = at(frame, node);
    const caller = node === 0 ? -1 : at(chargedFrame, at(parent, node));
    const charged = isOwn[here] === true || caller < 0 || isOwn[caller] !== true ? here : caller;
    chargedFrame.push(charged);
    const bytes = at(selfBytes, node);
    if (bytes > 0) {
      let sum = ofFrame.get(charged);
      if (sum === undefined) {
        sum = { bytes: 0, sampledBytes: 0, mapped: noMappedBytes() };
        ofFrame.set(charged, sum);
      }
      sum.bytes += bytes;
      sum.sampledBytes += report.tree.sampledBytes?.[node] ?? 0;
      addMapped(sum.mapped, at(report.frames.kind, here), bytes);
    }
  }
  return [...ofFrame]
    .filter(([, { bytes }]) => bytes >= SMALLEST_LINE_SHARE * report.peakBytes)
    .sort(([, a], [, b]) => b.bytes - a.bytes)
    .slice(0, most)
    .map(([row, { bytes, sampledBytes, mapped }]) => ({ frame: frameAt(report, row), bytes, sampledBytes, mapped }));
}

/**
 * The answer in words, a line each: the peak and its parts; the line that held most of it, if one did; how the run went; and, if any of
 * it was mapped, how much.
 */
export function headline(report: Report): Phrase[][] {
  return [...answer(report), ...circumstances(report)];
}

/** The peak and its parts, and the line that held most of it. */
export function answer(report: Report): Phrase[][] {
  const why = outOfMemoryInWords(report);
  if (report.peakBytes === 0) {
    return why.length > 0 ? why : [[{ kind: 'strong', text: say('No memory was allocated') }]];
  }
  const { residentBeforeBytes } = report;
  const before =
    residentBeforeBytes === null ? '' : ` ${say('on top of %1 in use before', formatBytes(residentBeforeBytes))}`;
  const split = peakParts(report);
  const parts =
    split === null
      ? `${before}.`
      : `${before}: ${say('%1 is kept, %2 was temporary.', keptInWords(split, report), temporaryInWords(split, report))}`;
  if (why.length > 0) {
    const held = say(
      '%1 were held at that moment%2.',
      amountInWords(report.peakBytes, sampledPeakBytes(report), report.sampling),
      before,
    );
    return [...why, [{ kind: 'plain', text: held }], ...dominantLineInWords(report)];
  }
  return [
    [{ kind: 'strong', text: peakInWords(report) }, ...intervalOfPeak(report), { kind: 'plain', text: parts }],
    ...dominantLineInWords(report),
  ];
}

/** What of the peak was kept, with its interval in a sampled report. */
export function keptInWords({ keptBytes }: PeakParts, { sampling }: Report): string {
  return amountInWords(keptBytes, sampledKeptBytes(keptBytes, sampling), sampling);
}

/** What of the peak was temporary, with its interval in a sampled report. */
export function temporaryInWords({ keptBytes }: PeakParts, report: Report): string {
  const { sampling } = report;
  const sampledBytes = sampledKeptBytes(keptBytes, sampling);
  return remainderInWords(peakEstimate(report), { bytes: keptBytes, sampledBytes, sampling });
}

function peakInWords({ peakBytes, cluster }: Report): string {
  return cluster === undefined
    ? say('Peak %1', formatBytes(peakBytes))
    : say('Peaks of all workers %1', formatBytes(peakBytes));
}

/** How sure the peak of a sampled report is. */
function intervalOfPeak(report: Report): Phrase[] {
  const words = intervalInWords(report.peakBytes, sampledPeakBytes(report), report.sampling);
  return words === '' ? [] : [{ kind: 'soft', text: ` ${words}` }];
}

/** Why memory ran out, and the request that failed; nothing if it did not. */
function outOfMemoryInWords(report: Report): Phrase[][] {
  const what = report.outOfMemory;
  if (what === undefined) {
    return [];
  }
  const { request } = what;
  const lines: Phrase[][] = [
    [
      { kind: 'strong', text: say('Out of memory') },
      { kind: 'plain', text: `: ${reasonInWords(what, request?.bytes ?? null)}` },
    ],
  ];
  const frames = request?.stack.map((row) => frameAt(report, row)) ?? [];
  const line = frames.findLast(isUserCode) ?? frames.at(-1);
  if (request !== null && line !== undefined) {
    const phrases: Phrase[] = [
      {
        kind: 'plain',
        text: say('The request for %1 that failed: %2', formatBytes(request.bytes), placeLabel(line, report.subject)),
      },
    ];
    if (line.sourceLine !== '') {
      phrases.push({ kind: 'plain', text: ': ' }, { kind: 'code', text: inShort(line.sourceLine) });
    }
    lines.push(phrases);
  }
  return lines;
}

/** How the run went, and what kind of memory it was. */
export function circumstances(report: Report): Phrase[][] {
  return [[{ kind: 'soft', text: runInWords(report) }], ...mappedLines(report)];
}

/** How much of the peak is no memory of the program's own. */
function mappedLines(report: Report): Phrase[][] {
  const mapped = noMappedBytes();
  report.tree.selfBytes.forEach((bytes, node) => {
    addMapped(mapped, at(report.frames.kind, at(report.tree.frame, node)), bytes);
  });
  const words = mappedInWords(mapped);
  return words === '' ? [] : [[{ kind: 'soft', text: say('Of the peak %1.', words) }]];
}

function dominantLineInWords(report: Report): Phrase[][] {
  const line = dominantLine(report);
  if (line === null) {
    return [];
  }
  const share = formatShare(line.bytes, report.peakBytes);
  const phrases: Phrase[] = [{ kind: 'plain', text: say('%1 at %2', share, placeLabel(line.frame, report.subject)) }];
  if (report.sampling !== undefined) {
    const text = ` (${formatBytes(line.bytes)} ${intervalInWords(line.bytes, line.sampledBytes, report.sampling)})`;
    phrases.push({ kind: 'soft', text });
  }
  if (line.frame.sourceLine !== '') {
    phrases.push({ kind: 'plain', text: ': ' }, { kind: 'code', text: inShort(line.frame.sourceLine) });
  }
  return [phrases];
}

/** A source line as far as it fits into a sentence. */
function inShort(sourceLine: string): string {
  const characters = Array.from(sourceLine);
  return characters.length <= LONGEST_CODE ? sourceLine : `${characters.slice(0, LONGEST_CODE - 1).join('')}…`;
}

/** `4.8 s · ended with an error · up to 71 % of this container's 5.2 GiB`. */
function runInWords(report: Report): string {
  const parts = [formatSeconds(report.durationSeconds)];
  const outcome = outcomeInWords(report);
  if (outcome !== '') {
    parts.push(outcome);
  }
  const { memoryLimit, resident, peakBytes } = report;
  if (memoryLimit && resident && peakBytes > 0) {
    const share = formatShare(resident.peakBytes, memoryLimit.bytes);
    const whole = formatBytes(memoryLimit.bytes);
    parts.push(
      memoryLimit.of === 'container'
        ? say("up to %1 of this container's %2", share, whole)
        : say("up to %1 of this machine's %2", share, whole),
    );
  }
  return parts.join(' · ');
}

/** How the run ended; empty if it ended as it should. */
export function outcomeInWords({ outcome }: Report): string {
  switch (outcome.kind) {
    case 'completed':
      return '';
    case 'error':
      return say('ended with an error');
    case 'interrupted':
      return say('was interrupted');
    case 'running':
      return say('was still running');
    case 'died':
      return say('the process died');
  }
}

/**
 * The peak beside the growth of the process's resident memory, and what makes the difference; null where nothing is known of that.
 */
export function residentStatement(report: Report): string | null {
  const { processes, residentBeforeBytes, resident, sampling } = report;
  // Resident memory is of the one process.
  const peakBytes = processes?.tracked[0]?.peakBytes ?? report.peakBytes;
  if (!resident || residentBeforeBytes === null || peakBytes === 0) {
    return null;
  }
  const growth = Math.max(0, resident.peakBytes - residentBeforeBytes);
  const grew = say(
    resident.isExact
      ? 'The resident memory of the process grew by %1 to %2 at most'
      : 'The resident memory of the process grew by about %1 to %2 at most, of what was sampled',
    formatBytes(growth),
    formatBytes(resident.peakBytes),
  );
  const difference = growth - peakBytes;
  const tracked = { bytes: peakBytes, sampledBytes: Math.min(peakBytes, sampledPeakBytes(report)), sampling };
  const grown = { bytes: growth, sampledBytes: 0, sampling: undefined };
  if (Math.abs(difference) < SAME_SHARE * peakBytes) {
    return say('%1, as much as is tracked.', grew);
  }
  return difference > 0
    ? say(
        "%1, %2 more than is tracked: memory that allocators keep or waste, stacks, libraries' files, direct system calls, and Fil's own tables%3.",
        grew,
        excessInWords(grown, tracked),
        resident.ownBytes === undefined ? '' : ` (${formatBytes(resident.ownBytes)})`,
      )
    : say(
        '%1, %2 less than is tracked: memory that was allocated but not touched, or that the process had to spare from before.',
        grew,
        excessInWords(tracked, grown),
      );
}

/** Less is not worth a sentence: every program maps a little more than it uses. */
const WORTH_A_SENTENCE_BYTES = 16 * 2 ** 20;

/** What was mapped beside the peak and took no memory; null where it is next to nothing, or not known. */
export function untouchedStatement({ untouchedBytes }: Report): string | null {
  if (untouchedBytes === undefined || untouchedBytes < WORTH_A_SENTENCE_BYTES) {
    return null;
  }
  return say(
    'Up to %1 were mapped and never touched, as libraries do in advance: such addresses take no memory, and no figure here counts them.',
    formatBytes(untouchedBytes),
  );
}

/** What the peak of several processes means; null if it was one. */
export function processesStatement({ processes, cluster }: Report): string | null {
  // Of a cluster its notes tell.
  if (processes === undefined || cluster !== undefined) {
    return null;
  }
  const { tracked, small, untracked, refused, boundBytes } = processes;
  const atPeak = tracked.filter(({ jointBytes }) => jointBytes > 0).length;
  const parts = [
    atPeak > 1
      ? boundBytes === 0
        ? say('The peak is what %1 processes held together, exact to the byte.', atPeak)
        : say('The peak is what %1 processes held together, exact to %2.', atPeak, formatBytes(boundBytes))
      : boundBytes === 0
        ? say('At the peak one process held everything.')
        : say('At the peak one process held everything, exact to %1.', formatBytes(boundBytes)),
  ];
  if (small.count > 0) {
    parts.push(say('%1 more held %2 each at most.', small.count, formatBytes(small.peakBytes)));
  }
  const copied = tracked.reduce((sum, process) => sum + (process.copiedBytes ?? 0), 0);
  if (copied >= WORTH_A_SENTENCE_BYTES / 16) {
    parts.push(
      say(
        'Forked processes have changed %1 of their parents’ pages, which takes that much more memory and is in no other figure.',
        formatBytes(copied),
      ),
    );
  }
  if (untracked.length > 0) {
    const most = untracked.reduce((best, process) => (process.highWaterBytes > best.highWaterBytes ? process : best));
    parts.push(
      say(
        'Not tracked, as the tracker can’t be loaded into them or can’t keep their figures: %1, of which %2 had most in memory, %3.',
        untracked.length,
        most.command.split(' ')[0] ?? '',
        formatBytes(most.highWaterBytes),
      ),
    );
  }
  if (refused > 0) {
    parts.push(say('%1 could not join, as there was no room for their figures.', refused));
  }
  return parts.join(' ');
}

/** Smaller variables are not named beside a part of the peak. */
const SMALLEST_NAMED_SHARE = 0.05;
const MOST_NAMED = 3;

/** The variables that hold what was in use before, and what the run keeps; most bytes first, by their first names. */
export function namedHolders(report: Report): { readonly before: Holders; readonly kept: Holders } {
  const { subject, observed, residentBeforeBytes } = report;
  const own = subject.kind === 'cell' ? subject.executionCount : null;
  const variables = observed?.variables ?? [];
  const keptBytes = peakParts(report)?.keptBytes ?? 0;
  return {
    before: holders(
      variables.filter(({ cell }) => cell !== own),
      residentBeforeBytes ?? 0,
    ),
    kept: holders(
      variables.filter(({ cell }) => own !== null && cell === own),
      keptBytes,
    ),
  };
}

/** Variables that hold a part of the memory. */
export interface Holders {
  /** The largest. */
  readonly names: readonly string[];
  /** All with their sizes, for who wants to know more. */
  readonly all: readonly string[];
}

function holders(variables: readonly Variable[], wholeBytes: number): Holders {
  const large = variables.filter(({ bytes, names }) => bytes >= SMALLEST_NAMED_SHARE * wholeBytes && names.length > 0);
  const named = large.map(({ names, bytes }): [string, string] => [names[0] ?? '', formatBytes(bytes)]);
  return {
    names: named.slice(0, MOST_NAMED).map(([name]) => name),
    all: named.map(([name, bytes]) => `${name} ${bytes}`),
  };
}

/** Says what the picture leaves out; null if it leaves out nothing. */
export function pruningStatement(report: Report): string | null {
  const { pruned, peakBytes, sampling } = report;
  if (pruned.nodes === 0) {
    return null;
  }
  const count = pruned.nodes.toLocaleString('en-US');
  const frames = pruned.nodes === 1 ? say('%1 frame', count) : say('%1 frames', count);
  return pruned.bytes === 0
    ? say('%1 in the middle of deep stacks are left out.', frames)
    : say(
        '%1 too small to show are left out; together they held %2, %3 of the peak.',
        frames,
        amountInWords(pruned.bytes, sampledOfOthers(report), sampling),
        formatShare(pruned.bytes, peakBytes),
      );
}

/** What is estimated of that which is too small to show. */
function sampledOfOthers({ tree, frames }: Report): number {
  return (tree.sampledBytes ?? []).reduce(
    (sum, bytes, node) => sum + (frames.kind[at(tree.frame, node)] === 'other' ? bytes : 0),
    0,
  );
}
