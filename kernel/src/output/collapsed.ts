/**
 * A report as collapsed stacks, in Fil's form: `file:line (function);file:line (function) BYTES`, a line each. speedscope, inferno and
 * flamegraph.pl read it.
 */
import { at } from '../../../schema/columns.js';
import { frameAt, frameInFull } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';

/** Between frames; in a frame's own text it would be read as the start of the next one. */
const SEPARATOR = ';';

/**
 * The lines, each with its line feed; their bytes are the peak. What is not shown by name is charged to the stack of its callers.
 */
export function* collapsedStacks(report: Report): Generator<string> {
  const { parent, frame, selfBytes, totalBytes } = report.tree;
  const texts = report.frames.kind.map((_, row) => collapsedFrame(frameInFull(frameAt(report, row))));
  /** Stacks of the node last seen and its callers: in pre-order no other is needed again. */
  const stacks: string[] = [];
  const depthOf = new Int32Array(parent.length);
  const isOther = report.frames.kind.map((kind) => kind === 'other');
  const own = Float64Array.from(selfBytes);
  for (let node = 1; node < parent.length; node++) {
    const above = at(parent, node);
    if (isOther[at(frame, node)] === true && above > 0) {
      own[above] = at(own, above) + at(totalBytes, node);
      own[node] = 0;
    }
  }
  for (let node = 0; node < parent.length; node++) {
    const above = at(parent, node);
    const row = at(frame, node);
    const depth = above < 0 ? 0 : at(depthOf, above) + 1;
    depthOf[node] = depth;
    const text = texts[row] ?? '';
    // The root is the program itself, not a frame of it.
    stacks[depth] = depth <= 1 ? text : `${stacks[depth - 1] ?? ''}${SEPARATOR}${text}`;
    const bytes = at(own, node);
    if (bytes > 0) {
      yield `${stacks[depth]} ${bytes}\n`;
    }
  }
}

/** The text of one frame, without what would end the frame or the line. */
function collapsedFrame(text: string): string {
  return text.replace(/[;\r\n]/g, (character) => (character === SEPARATOR ? '\\x3b' : ' '));
}
