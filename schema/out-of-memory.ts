/**
 * What happened when memory ran out, or was about to: part of a report, and in words for every place that tells of it.
 */
import * as z from 'zod/mini';
import { formatBytes } from './units.js';
import { say } from './words.js';

const bytes = z.int().check(z.minimum(0));

/** A request for memory that was not met. What it asked for was never held, so no other figure contains it. */
export const FailedRequest = z.object({
  bytes,
  /** Its call stack, outermost first: rows of the frame table. */
  stack: z.array(bytes),
});

export const OutOfMemory = z.object({
  /**
   * What was noticed. `failed-allocation`: the program's request failed and it did not expect that; `available`: less was available
   * than the headroom; `swap`: more of the program was swapped out than was available; `pressure`: everything stood still for want of
   * memory; `budget`: a cell's own limit was used up; `killed-by-system`: the system has killed the program for it.
   */
  rule: z.enum(['failed-allocation', 'available', 'swap', 'pressure', 'budget', 'killed-by-system']),
  /** What was done. `raised`: the code saw a MemoryError. */
  action: z.enum(['raised', 'killed-program', 'killed-subprocess', 'none']),
  /** Whose limit it is: the machine's, a container's, what the user allows the processes or the cell. */
  limitOf: z.enum(['machine', 'container', 'processes', 'cell']),
  /** Null where it could not be read, as with the next ones. */
  limitBytes: z.nullable(bytes),
  /** Can be below 0: so much too much. */
  availableBytes: z.nullable(z.int()),
  /** What has to be left. */
  headroomBytes: z.nullable(bytes),
  /** What the profiler had counted. */
  trackedBytes: bytes,
  /** Of the program's processes together. */
  residentBytes: z.nullable(bytes),
  swappedBytes: z.nullable(bytes),
  /** The request that failed; null if none did. */
  request: z.nullable(FailedRequest),
});
export type OutOfMemory = z.infer<typeof OutOfMemory>;

/** What is known before the report is made: all but the request, whose call stack is part of the report. */
export type OutOfMemoryCause = Omit<OutOfMemory, 'request'>;

/** Why, in plain language: one sentence. */
export function reasonInWords(what: OutOfMemoryCause, requestBytes: number | null): string {
  const { rule, action, limitBytes, availableBytes, headroomBytes, swappedBytes, trackedBytes } = what;
  const limit = limitBytes === null ? say('the memory there is') : formatBytes(limitBytes);
  const whose = limitInWords(what.limitOf, limit);
  const left = formatBytes(Math.max(0, availableBytes ?? 0));
  switch (rule) {
    case 'failed-allocation':
      return requestBytes === null
        ? say('The program ended with a MemoryError.')
        : say('A request for %1 failed; %2 of %3 were available.', formatBytes(requestBytes), left, whose);
    case 'available':
      return say(
        'Only %1 of %2 were left, less than the %3 that are kept free; %4.',
        left,
        whose,
        formatBytes(headroomBytes ?? 0),
        actionInWords(action),
      );
    case 'swap':
      return say(
        '%1 of the program were swapped out, more than the %2 that were available; %3.',
        formatBytes(swappedBytes ?? 0),
        left,
        actionInWords(action),
      );
    case 'pressure':
      return say(
        'Everything stood still for want of memory, with %1 of %2 left; %3.',
        left,
        whose,
        actionInWords(action),
      );
    case 'budget':
      return requestBytes === null
        ? say('The cell held %1, more than %2; %3.', formatBytes(trackedBytes), whose, actionInWords(action))
        : say(
            'With %1 held, a request for %2 would have exceeded %3.',
            formatBytes(trackedBytes),
            formatBytes(requestBytes),
            whose,
          );
    case 'killed-by-system':
      return availableBytes === null || availableBytes > (headroomBytes ?? 0)
        ? say('The system has killed the program because memory ran out.')
        : say('The system has killed the program because memory ran out: %1 of %2 were left.', left, whose);
  }
}

function limitInWords(limitOf: OutOfMemory['limitOf'], limit: string): string {
  switch (limitOf) {
    case 'machine':
      return say("the machine's %1", limit);
    case 'container':
      return say("the container's %1", limit);
    case 'processes':
      return say('the %1 that these processes may hold', limit);
    case 'cell':
      return say('the %1 that this cell may hold', limit);
  }
}

function actionInWords(action: OutOfMemory['action']): string {
  switch (action) {
    case 'raised':
      return say('the running code was interrupted by a MemoryError');
    case 'killed-program':
      return say('Fil has ended the program before the system would');
    case 'killed-subprocess':
      return say('Fil has ended the process that held most, before the system would');
    case 'none':
      return say('Fil was told to do nothing about it');
  }
}

/** The figures, for those who want them: one line. */
export function figuresInWords(what: OutOfMemoryCause): string {
  const unknown = say('unknown');
  const shown = (value: number | null): string => (value === null ? unknown : formatBytes(value));
  return say(
    'rule %1; limit %2; available %3; tracked %4; resident %5',
    what.rule,
    shown(what.limitBytes),
    shown(what.availableBytes),
    formatBytes(what.trackedBytes),
    shown(what.residentBytes),
  );
}
