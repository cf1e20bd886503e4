/**
 * What a report shows for certain about the cause of its peak, with the evidence. Nothing here is a guess: each sentence follows from the
 * call stacks that are live at the peak, and from what the process itself told of its code and data at the end.
 */
import { at } from './columns.js';
import type { Clue } from './observed.js';
import { type Frame, frameAt, isUserCode, placeLabel } from './places.js';
import type { Report } from './report.js';
import { amountInWords, sampledTotals } from './sampling.js';
import { formatBytes, formatShare } from './units.js';
import { say } from './words.js';

/** A fact about the peak, or about what is kept. */
export interface Finding {
  /** Stable name to test for. */
  readonly code:
    | 'several-results-at-once'
    | 'needless-copy'
    | 'grown-in-loop'
    | 'object-columns'
    | 'float64-columns'
    | 'displayed-result';
  readonly statement: string;
  /** What to do about it; empty where the statement says it all. */
  readonly advice: string;
  readonly evidence: string;
  /** How much it is about. */
  readonly bytes: number;
}

type ClueOf<Kind extends Clue['kind']> = Extract<Clue, { readonly kind: Kind }>;

/** Smaller causes are not worth a sentence. */
const SMALLEST_SHARE = 0.1;
/** The most that is said beside the picture: more would hide it. */
export const MOST_FINDINGS = 2;
/** Names in a sentence; the others are counted. */
const MOST_NAMES = 3;

/** All that is certain, most bytes first. */
export function findings(report: Report): Finding[] {
  if (report.peakBytes === 0) {
    return [];
  }
  const lines = callsByLine(report);
  const clues = report.observed?.clues ?? [];
  return [
    ...atOnce(report, lines, clues),
    ...clues.flatMap((clue): Finding[] => {
      switch (clue.kind) {
        case 'grown-in-loop':
          return grownInLoop(report, lines, clue);
        case 'copied-before-call':
          // Told with what it was alive together with.
          return [];
        case 'object-columns':
          return objectColumns(clue);
        case 'float64-columns':
          return float64Columns(clue);
      }
    }),
    ...displayedResult(report),
  ]
    .filter(({ bytes }) => bytes >= SMALLEST_SHARE * report.peakBytes)
    .sort((a, b) => b.bytes - a.bytes);
}

/** A line of the user's with what the functions of libraries that it called held at the peak. */
interface Calls {
  readonly line: Frame;
  /** By the line itself and all that it called. */
  totalBytes: number;
  readonly held: Map<string, Held>;
}

/** Bytes, and what of them is estimated from samples. */
interface Held {
  bytes: number;
  sampledBytes: number;
}

function callsByLine(report: Report): Map<number, Calls> {
  const { parent, frame: frameOf, totalBytes } = report.tree;
  const rows = report.frames.kind.map((_, row) => frameAt(report, row));
  const isOwn = rows.map(isUserCode);
  const lines = new Map<number, Calls>();
  const sampled = sampledTotals(report);
  for (let node = 1; node < parent.length; node++) {
    const row = at(frameOf, node);
    const callee = rows[row];
    if (callee === undefined) {
      continue;
    }
    if (isOwn[row] === true) {
      callsOf(lines, row, callee).totalBytes += at(totalBytes, node);
      continue;
    }
    const caller = at(frameOf, at(parent, node));
    const line = rows[caller];
    if (isOwn[caller] === true && line !== undefined && callee.kind === 'python') {
      const { held } = callsOf(lines, caller, line);
      const sum = held.get(callee.function) ?? { bytes: 0, sampledBytes: 0 };
      sum.bytes += at(totalBytes, node);
      sum.sampledBytes += sampled?.[node] ?? 0;
      held.set(callee.function, sum);
    }
  }
  return lines;
}

function callsOf(lines: Map<number, Calls>, row: number, line: Frame): Calls {
  let calls = lines.get(row);
  if (calls === undefined) {
    calls = { line, totalBytes: 0, held: new Map() };
    lines.set(row, calls);
  }
  return calls;
}

/** Lines that held what several of their calls made: each step of a chained expression keeps what it was called on until it is done. */
function atOnce(report: Report, lines: ReadonlyMap<number, Calls>, clues: readonly Clue[]): Finding[] {
  return [...lines.values()].flatMap(({ line, held }): Finding[] => {
    const large = [...held]
      .filter(([name, { bytes }]) => bytes >= SMALLEST_SHARE * report.peakBytes && isCalledIn(line.sourceLine, name))
      .sort(([, a], [, b]) => b.bytes - a.bytes);
    if (large.length < 2) {
      return [];
    }
    const parts = large
      .map(([name, { bytes, sampledBytes }]) => `${name} ${amountInWords(bytes, sampledBytes, report.sampling)}`)
      .join(', ');
    const needless = needlessCopy(line, large, clues);
    return [
      {
        code: needless === null ? 'several-results-at-once' : 'needless-copy',
        statement: say(
          'At the peak, %1 held what %2 of its calls made at the same time: %3.',
          placeLabel(line, report.subject),
          large.length,
          parts,
        ),
        advice:
          needless ?? say('Each step of an expression keeps the one before. Choose rows and columns in the first one.'),
        evidence:
          needless === null
            ? say('Evidence: their call stacks are all live at the peak.')
            : say('Evidence: their call stacks are all live at the peak, and nobody else can see the copy.'),
        bytes: large.reduce((sum, [, { bytes }]) => sum + bytes, 0),
      },
    ];
  });
}

/** What leaving out a `.copy()` would save, if the line has one that only its next call reads; null if not. */
function needlessCopy(line: Frame, large: readonly [string, Held][], clues: readonly Clue[]): string | null {
  const clue = clues.find(
    (candidate): candidate is ClueOf<'copied-before-call'> =>
      candidate.kind === 'copied-before-call' && isOfStatement(line, candidate),
  );
  const copy = large.find(([name]) => lastPart(name) === 'copy');
  return clue === undefined || copy === undefined
    ? null
    : say(
        'Without .copy() there would be %1 less at this moment: %2 makes a table of its own.',
        formatBytes(copy[1].bytes),
        clue.next,
      );
}

function grownInLoop(report: Report, lines: ReadonlyMap<number, Calls>, clue: ClueOf<'grown-in-loop'>): Finding[] {
  const calls = [...lines.values()].filter(({ line }) => isOfStatement(line, clue));
  const [first] = calls;
  if (first === undefined) {
    return [];
  }
  const bytes = calls.reduce((sum, { totalBytes }) => sum + totalBytes, 0);
  return [
    {
      code: 'grown-in-loop',
      statement: say(
        'Each round of the loop at line %1 makes all of %2 anew: its %3 held %4 at the peak, %5.',
        clue.loopLine,
        clue.name,
        clue.call,
        formatBytes(bytes),
        formatShare(bytes, report.peakBytes),
      ),
      advice: say('Collect the parts in a list, and join them once after the loop.'),
      evidence: say(
        'Evidence: %1 joins %2 to itself within the loop, and its call stack is live at the peak.',
        placeLabel(first.line, report.subject),
        clue.name,
      ),
      bytes,
    },
  ];
}

function objectColumns({ names, rows, bytes, columnCount, columns }: ClueOf<'object-columns'>): Finding[] {
  const repeated = columns.filter(({ bytes: own, categoryBytes }) => categoryBytes !== null && categoryBytes < own / 2);
  const saved = repeated.reduce((sum, { bytes: own, categoryBytes }) => sum + own - (categoryBytes ?? 0), 0);
  return [
    {
      code: 'object-columns',
      statement: say(
        '%1 keeps %2 as Python objects, in %3: %4.',
        names[0] ?? '',
        formatBytes(bytes),
        columnCount === 1 ? say('1 column') : say('%1 columns', columnCount),
        listed(columns.map(({ name, bytes: own }) => `${name} ${formatBytes(own)}`)),
      ),
      advice:
        saved === 0
          ? say('Numbers, times and categories take less than objects.')
          : say(
              'As categories, %1 would take %2 less.',
              listed(repeated.map(({ name, distinctCount }) => say('%1 (%2 different)', name, distinctCount ?? 0))),
              formatBytes(saved),
            ),
      evidence: say('Evidence: types and values of its %1 rows at the end of the cell.', rows.toLocaleString('en-US')),
      bytes,
    },
  ];
}

function float64Columns(clue: ClueOf<'float64-columns'>): Finding[] {
  const { names, rows, bytes, columnCount, columns, exactColumnCount, exactBytes } = clue;
  const half = say('float32 takes half.');
  return [
    {
      code: 'float64-columns',
      statement: say(
        '%1 keeps %2 as float64, in %3: %4.',
        names[0] ?? '',
        formatBytes(bytes),
        columnCount === 1 ? say('1 column') : say('%1 columns', columnCount),
        listed(columns),
      ),
      advice:
        exactColumnCount === 0
          ? `${half} ${say('It has 7 digits.')}`
          : say(
              'All values of %1 of them are the same as float32, which takes half: %2 less.',
              exactColumnCount,
              formatBytes(exactBytes / 2),
            ),
      evidence: say('Evidence: types and values of its %1 rows at the end of the cell.', rows.toLocaleString('en-US')),
      bytes,
    },
  ];
}

/** The result that the cell displayed, if nothing but the notebook's memory of it keeps it. */
function displayedResult({ subject, observed }: Report): Finding[] {
  const name = subject.kind === 'cell' && subject.executionCount !== null ? `Out[${subject.executionCount}]` : null;
  const kept = observed?.variables.find(({ names }) => names[0] === name);
  return name === null || kept === undefined
    ? []
    : [
        {
          code: 'displayed-result',
          statement: say(
            'The displayed %1 is kept, %2, as the notebook remembers it as %3.',
            kept.type,
            formatBytes(kept.bytes),
            name,
          ),
          advice: say('A semicolon at the end of the line displays nothing and keeps nothing.'),
          evidence: say('Evidence: no variable of yours holds it at the end of the cell.'),
          bytes: kept.bytes,
        },
      ];
}

function listed(parts: readonly string[]): string {
  const shown = parts.slice(0, MOST_NAMES).join(', ');
  return parts.length <= MOST_NAMES ? shown : say('%1 and %2 more', shown, parts.length - MOST_NAMES);
}

function isOfStatement(
  line: Frame,
  { cell, firstLine, lastLine }: ClueOf<'grown-in-loop' | 'copied-before-call'>,
): boolean {
  return line.cell === cell && line.line >= firstLine && line.line <= lastLine;
}

/** Whether the text of a line calls a function by its name, or indexes where that is `__getitem__`. */
function isCalledIn(source: string, qualifiedName: string): boolean {
  const name = lastPart(qualifiedName);
  if (name === '__getitem__') {
    return /[\w)\]]\[/.test(source);
  }
  return /^[A-Za-z_]\w*$/.test(name) && new RegExp(`\\b${name}\\s*\\(`).test(source);
}

function lastPart(qualifiedName: string): string {
  return qualifiedName.split('.').at(-1) ?? '';
}
