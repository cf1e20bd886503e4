/**
 * A running profile as its cell shows it until the report comes. Never stored by intent, but a notebook that is saved while the cell
 * runs holds one. No DOM and no Node types here.
 */
import * as z from 'zod/mini';
import { FRAME_KINDS, Subject } from './report.js';
import type { Phrase } from './summary.js';
import { formatBytes, formatSeconds } from './units.js';
import { say } from './words.js';

/** The MIME type under which it is displayed; its data is a {@link LiveProfile}. */
export const LIVE_MIME_TYPE = 'application/vnd.fil.live-memory+json';

/** Raised by one when a reader of the last version would misread it. */
export const LIVE_VERSION = 1;

const bytes = z.int().check(z.minimum(0));
const seconds = z.number().check(z.minimum(0));

/** A line of the program with what it holds of the peak so far: a frame as in the report's frame table, see there. */
export const LiveLine = z.object({
  kind: z.enum(FRAME_KINDS),
  function: z.string(),
  file: z.string(),
  line: z.int().check(z.minimum(0)),
  sourceLine: z.string(),
  cell: z.int().check(z.minimum(-1)),
  bytes,
});
export type LiveLine = z.infer<typeof LiveLine>;

export const LiveProfile = z.object({
  version: z.literal(LIVE_VERSION),
  title: z.nullable(z.string()),
  subject: Subject,
  /** `running`: the figures rise and fall. `reporting`: the code has ended, and its report is being made. */
  phase: z.enum(['running', 'reporting']),
  elapsedSeconds: seconds,
  /** Of the profiled code, as everything here: what it holds now. */
  currentBytes: bytes,
  /** The most that it has held. */
  peakBytes: bytes,
  /** The lines that held most at that moment, most first; few. */
  lines: z.array(LiveLine),
  /** Bytes held over time, `seconds` since the start, ascending; few points. */
  timeline: z.object({ seconds: z.array(seconds), bytes: z.array(bytes) }),
  /** The next update is due after so many seconds. */
  nextSeconds: seconds,
});
export type LiveProfile = z.infer<typeof LiveProfile>;

/** The figures in one line. */
export function liveHeadline({ phase, currentBytes, peakBytes, elapsedSeconds }: LiveProfile): Phrase[] {
  const elapsed: Phrase = { kind: 'soft', text: ` · ${formatSeconds(elapsedSeconds)}` };
  const peak: Phrase = { kind: 'strong', text: say('Peak so far %1', formatBytes(peakBytes)) };
  switch (phase) {
    case 'running':
      return [peak, { kind: 'plain', text: `, ${say('now %1', formatBytes(currentBytes))}` }, elapsed];
    case 'reporting':
      return [peak, { kind: 'plain', text: `. ${say('Making the report…')}` }, elapsed];
  }
}
