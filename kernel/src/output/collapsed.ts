/**
 * A report as collapsed stacks, in Fil's form: `file:line (function);file:line (function) BYTES`, a line each. speedscope, inferno and
 * flamegraph.pl read it.
 */
import { frameAt, frameInFull } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { stacksOf } from './stacks.js';

/** Between frames; in a frame's own text it would be read as the start of the next one. */
const SEPARATOR = ';';

/** The lines, each with its line feed; their bytes are the peak. */
export function* collapsedStacks(report: Report): Generator<string> {
  const texts = report.frames.kind.map((_, row) => collapsedFrame(frameInFull(frameAt(report, row))));
  for (const { rows, bytes } of stacksOf(report)) {
    yield `${rows.map((row) => texts[row] ?? '').join(SEPARATOR)} ${bytes}\n`;
  }
}

/** The text of one frame, without what would end the frame or the line. */
function collapsedFrame(text: string): string {
  return text.replace(/[;\r\n]/g, (character) => (character === SEPARATOR ? '\\x3b' : ' '));
}
