/**
 * What a report shows for certain about the cause of its peak, with the evidence. Nothing here is a guess: each sentence follows from the
 * call stacks that are live at the peak.
 */
import { at } from './columns.js';
import { type Frame, frameAt, isUserCode, placeLabel } from './places.js';
import type { Report } from './report.js';
import { formatBytes } from './units.js';
import { say } from './words.js';

/** A fact about the peak. */
export interface Finding {
  /** Stable name to test for. */
  readonly code: 'several-results-at-once';
  readonly statement: string;
  readonly evidence: string;
  readonly bytes: number;
}

/** Smaller results are not worth a sentence. */
const SMALLEST_SHARE = 0.1;

/**
 * Lines of the user's code that held what several of their calls made at the same time, as each step of a chained expression keeps what
 * it was called on until it is done. Most bytes first.
 */
export function findings(report: Report): Finding[] {
  const { parent, frame: frameOf, totalBytes } = report.tree;
  const rows = report.frames.kind.map((_, row) => frameAt(report, row));
  const isOwn = rows.map(isUserCode);
  /** For each line of the user's, what each library function that it calls held. */
  const calls = new Map<number, Map<string, number>>();
  for (let node = 1; node < parent.length; node++) {
    const caller = at(frameOf, at(parent, node));
    const row = at(frameOf, node);
    const callee = rows[row];
    if (isOwn[caller] !== true || isOwn[row] === true || callee?.kind !== 'python') {
      continue;
    }
    const ofLine = calls.get(caller) ?? new Map<string, number>();
    calls.set(caller, ofLine);
    ofLine.set(callee.function, (ofLine.get(callee.function) ?? 0) + at(totalBytes, node));
  }
  return [...calls]
    .flatMap(([row, ofLine]) => {
      const line = rows[row];
      return line === undefined ? [] : severalAtOnce(report, line, ofLine);
    })
    .sort((a, b) => b.bytes - a.bytes);
}

function severalAtOnce(report: Report, line: Frame, calls: ReadonlyMap<string, number>): Finding[] {
  const large = [...calls]
    .filter(([name, bytes]) => bytes >= SMALLEST_SHARE * report.peakBytes && isCalledIn(line.sourceLine, name))
    .sort(([, a], [, b]) => b - a);
  if (large.length < 2) {
    return [];
  }
  const parts = large.map(([name, bytes]) => `${name} ${formatBytes(bytes)}`).join(', ');
  return [
    {
      code: 'several-results-at-once',
      statement: say(
        'At the peak, %1 held what %2 of its calls made at the same time: %3.',
        placeLabel(line, report.subject),
        large.length,
        parts,
      ),
      evidence: say('Evidence: their call stacks are all live at the peak.'),
      bytes: large.reduce((sum, [, bytes]) => sum + bytes, 0),
    },
  ];
}

/** Whether the text of a line calls a function by its name, or indexes where that is `__getitem__`. */
function isCalledIn(source: string, qualifiedName: string): boolean {
  const name = qualifiedName.split('.').at(-1) ?? '';
  if (name === '__getitem__') {
    return /[\w)\]]\[/.test(source);
  }
  return /^[A-Za-z_]\w*$/.test(name) && new RegExp(`\\b${name}\\s*\\(`).test(source);
}
