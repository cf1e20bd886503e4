/**
 * What a reader has to know to read the figures right.
 */
import type { ReportNote, ReportOutcome } from '../../../schema/report.js';
import type { Snapshot } from './snapshot.js';

const DEGRADATION_TEXTS = {
  'call-sites-full':
    'The program has more call sites than Fil keeps apart; the bytes of the latest ones are shown at their callers.',
  'stacks-truncated':
    'Some call stacks were deeper than Fil follows; their memory is shown at the part of the stack that was read.',
  'allocator-replaced':
    "Other code replaced Python's memory allocator while memory was being tracked; from then on small Python objects are missing.",
  'tracker-memory-exhausted':
    'Fil could not get memory for its own tables; some blocks of memory are missing from the figures.',
  'stacks-missing':
    'Fil could not get memory to follow the call stacks of some threads; what they allocated is counted, but not shown where.',
  'recursion-folded':
    'The program has very many call stacks; in the latest of them, calls of a recursion are shown at the first call of the same line.',
} satisfies Record<Snapshot['degradations'][number], string>;

/** The notes of a report, in the order in which they are to be read. */
export function notesOf(snapshot: Snapshot, outcome: ReportOutcome): ReportNote[] {
  const notes: ReportNote[] = [];
  if (outcome.kind === 'died') {
    notes.push({
      code: 'process-died',
      text: `The process ended ${howItEnded(outcome)} while memory was being tracked; these are its figures up to that moment.`,
    });
  }
  if (!snapshot.consistent) {
    notes.push({
      code: 'live-snapshot',
      text: 'The program went on while its memory was read, so sums can be off by single allocations.',
    });
  }
  for (const degradation of new Set(snapshot.degradations)) {
    notes.push({ code: degradation, text: DEGRADATION_TEXTS[degradation] });
  }
  return notes;
}

function howItEnded({ exitCode, signal }: Extract<ReportOutcome, { kind: 'died' }>): string {
  if (signal !== null) {
    return `by signal ${signal}`;
  }
  return exitCode === null ? 'unexpectedly' : `with exit status ${exitCode}`;
}
