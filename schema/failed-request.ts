/**
 * The request for memory that failed, as boxes: its call stack, a box a frame. It was never held, so no frame of the call tree contains
 * it; the pictures draw it apart, dashed.
 */
import { frameAt, frameInFull, isUserCode } from './places.js';
import type { Report } from './report.js';
import { formatBytes } from './units.js';
import { say } from './words.js';

/** The innermost frames tell most. */
const MOST_BOXES = 8;

export interface RequestBox {
  /** Function, file and line. */
  readonly place: string;
  readonly sourceLine: string;
  /** The line of the user's own code that asked. */
  readonly asked: boolean;
}

export interface RequestPicture {
  /** `Requested, but never held: 1.0 PiB`. */
  readonly title: string;
  /** From the outermost caller to the innermost. */
  readonly boxes: readonly RequestBox[];
}

/** Null if no request failed, or nothing is known of where. */
export function requestPicture(report: Report): RequestPicture | null {
  const request = report.outOfMemory?.request ?? null;
  if (request === null || request.stack.length === 0) {
    return null;
  }
  const frames = request.stack.map((row) => frameAt(report, row));
  const ownLine = frames.findLastIndex(isUserCode);
  const asking = ownLine === -1 ? frames.length - 1 : ownLine;
  const leftOut = Math.max(0, frames.length - MOST_BOXES);
  const boxes = frames.slice(leftOut).map((frame, nth) => ({
    place: frameInFull(frame),
    sourceLine: frame.sourceLine,
    asked: leftOut + nth === asking,
  }));
  const callers =
    leftOut === 0
      ? []
      : [{ place: say('%1 callers above', leftOut), sourceLine: '', asked: false } satisfies RequestBox];
  return { title: say('Requested, but never held: %1', formatBytes(request.bytes)), boxes: [...callers, ...boxes] };
}
