/**
 * What a reader has to know to read the figures right, in words.
 */
import type { Cluster } from './cluster.js';
import type { MergeRule, Report, ReportNote, ReportOutcome } from './report.js';
import { formatBytes, formatSeconds } from './units.js';
import { say } from './words.js';

/** A note as it is shown. */
export interface NoteInWords {
  readonly code: ReportNote['code'];
  readonly text: string;
}

/** What the sentences need to know of a report. */
export type NoteFacts = Pick<Report, 'outcome' | 'sampling' | 'merged' | 'cluster'>;

/** A note's sentence, in the reader's language. */
export function noteText(code: ReportNote['code'], { outcome, sampling, merged, cluster }: NoteFacts): string {
  switch (code) {
    case 'call-sites-full':
      return say(
        'Not all call sites could be kept apart, as there were more than Fil’s tables hold, or shared memory (/dev/shm) was full; the bytes of the latest ones are shown at their callers.',
      );
    case 'stacks-truncated':
      return say(
        'Some call stacks were deeper than Fil follows; their memory is shown at the part of the stack that was read.',
      );
    case 'allocator-replaced':
      return say(
        "Other code replaced Python's memory allocator while memory was being tracked; from then on small Python objects are missing.",
      );
    case 'tracker-memory-exhausted':
      return say('Fil could not get memory for its own tables; some blocks of memory are missing from the figures.');
    case 'stacks-missing':
      return say(
        'Fil could not get memory to follow the call stacks of some threads; what they allocated is counted, but not shown where.',
      );
    case 'recursion-folded':
      return say(
        'The program has very many call stacks; in the latest of them, calls of a recursion are shown at the first call of the same line.',
      );
    case 'small-objects-missing':
      return say(
        "Python's memory allocator was not its usual one (PYTHONMALLOC=debug, -X dev or tracemalloc), so small objects of Python are missing from this sample.",
      );
    case 'sampled':
      return say(
        'This is a sample: one byte in %1 of small blocks was looked at, blocks of %2 and more were counted each. In 95 of 100 cases the true figures are within what stands beside the estimates.',
        // Of a mean of n reports it says how sure that is: as if each had been looked at so much finer.
        formatBytes((sampling?.meanBytes ?? 0) * (merged?.rule === 'mean' ? merged.reports.length : 1)),
        formatBytes(sampling?.exactFromBytes ?? 0),
      );
    case 'merged':
      return meaningOfMerged(merged?.rule ?? 'sum', merged?.reports.length ?? 0, sampling !== undefined);
    case 'cluster':
      return meaningOfCluster(cluster?.machines ?? [], cluster?.hasClient ?? false);
    case 'workers-died':
      return (cluster?.deaths ?? []).map(deathInWords).join(' ');
    case 'workers-missing':
      return missingInWords(cluster?.missing ?? []);
    case 'process-died':
      return say(
        'The process ended %1 while memory was being tracked; these are its figures up to that moment.',
        howItEnded(outcome),
      );
    case 'live-snapshot':
      return say('The program went on while its memory was read, so sums can be off by single allocations.');
  }
}

/** What figures that were merged from others are, and what they are not. */
function meaningOfMerged(rule: MergeRule, count: number, isSampled: boolean): string {
  switch (rule) {
    case 'sum':
      return say(
        'This is the sum of %1 reports, each at its own peak: so much was held at one moment only if the peaks coincided.',
        count,
      );
    case 'largest': {
      const meaning = say(
        'Of %1 reports this shows for each call stack the most that it held at the peak of any of them; no single run need have held all of it.',
        count,
      );
      return isSampled
        ? `${meaning} ${say('Estimates that differ by no more than chance count as one, by their mean: else the largest would be too high.')}`
        : meaning;
    }
    case 'mean':
      return say('This is the mean of %1 reports, each at its own peak.', count);
  }
}

/** More are not named one by one. */
const MOST_NAMED = 10;

function meaningOfCluster(machines: Cluster['machines'], hasClient: boolean): string {
  const workers = machines.reduce((sum, machine) => sum + machine.workers, 0);
  const each = machines
    .slice(0, MOST_NAMED)
    .map(({ host, peakBytes, boundBytes, workers: count }) =>
      say(
        'On %1 (workers: %2) all processes together held %3 at the most, exact to %4.',
        host,
        count,
        formatBytes(peakBytes),
        formatBytes(boundBytes),
      ),
    );
  return [
    say(
      hasClient
        ? 'This is the sum of the peaks of the client and its workers (%1), each at its own moment: an upper bound of what they held together.'
        : 'This is the sum of the peaks of all workers (%1), each at its own moment: an upper bound of what they held together.',
      workers,
    ),
    ...each,
    ...(machines.length > MOST_NAMED ? [say('And %1 more machines.', machines.length - MOST_NAMED)] : []),
    ...(machines.length > 1 ? [say('Times of different machines are only approximately the same.')] : []),
  ].join(' ');
}

function deathInWords({ worker, seconds, heldBytes, limitBytes, task, lines }: Cluster['deaths'][number]): string {
  const held =
    limitBytes === null
      ? say('%1 was killed after %2, when it held %3.', worker, formatSeconds(seconds), formatBytes(heldBytes))
      : say(
          '%1 was killed after %2, when it held %3 (its memory limit: %4).',
          worker,
          formatSeconds(seconds),
          formatBytes(heldBytes),
          formatBytes(limitBytes),
        );
  const [line] = lines;
  return line === undefined
    ? held
    : task === ''
      ? `${held} ${say('Most of it: %1', line)}.`
      : `${held} ${say('Most of it, in task %1: %2', task, line)}.`;
}

function missingInWords(missing: Cluster['missing']): string {
  const named = missing.slice(0, MOST_NAMED).map(({ worker, reason }) => `${worker}: ${reason}`);
  const others = missing.length - named.length;
  return say('Missing here: %1', [...named, ...(others > 0 ? [say('%1 more', others)] : [])].join('; '));
}

function howItEnded(outcome: ReportOutcome): string {
  if (outcome.kind === 'died' && outcome.signal !== null) {
    return say('by signal %1', outcome.signal);
  }
  return outcome.kind === 'died' && outcome.exitCode !== null
    ? say('with exit status %1', outcome.exitCode)
    : say('unexpectedly');
}

/** A report's notes: those that change how its figures are to be read, and those that only explain how they were made. */
export function notesInWords({ notes, ...facts }: Report): {
  readonly urgent: NoteInWords[];
  readonly other: NoteInWords[];
} {
  const isMinor = ({ code }: ReportNote): boolean => code === 'recursion-folded' || code === 'sampled';
  const inWords = ({ code }: ReportNote): NoteInWords => ({ code, text: noteText(code, facts) });
  return {
    urgent: notes.filter((note) => !isMinor(note)).map(inWords),
    other: notes.filter(isMinor).map(inWords),
  };
}
