/**
 * What a frame holds and where it is, beside the frame under the pointer or the keyboard's focus.
 */
import { placeLabel, shortFile } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { amountInWords, changeInWords, intervalInWords, mostUnseenBytes } from '../../../schema/sampling.js';
import { formatBytes, formatShare } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { element } from './dom.js';
import { type Compared, type FlameFrame, heldBytes, labelOf } from '../../../schema/tree/model.js';

const GAP_PIXELS = 6;

/** Lives in the document's body: a notebook clips what leaves an output. */
export class Tooltip {
  readonly #node = element('div', { class: 'fil-tooltip', attributes: { role: 'tooltip' } });
  readonly #report: Report;
  #anchor: Element | null = null;
  #anchorTop = 0;
  readonly #onScroll = (): void => {
    // Something else may have scrolled.
    if (this.#anchor !== null && Math.abs(this.#anchor.getBoundingClientRect().top - this.#anchorTop) >= 1) {
      this.hide();
    }
  };

  constructor(report: Report) {
    this.#report = report;
    this.#node.hidden = true;
    document.body.append(this.#node);
    // The frame would move away from under it.
    window.addEventListener('scroll', this.#onScroll, { capture: true, passive: true });
  }

  /**
   * @param frame what to tell of.
   * @param anchor the drawn frame.
   * @param left where to begin, in the window's pixels.
   * @param hint what a click does; empty for nothing to tell.
   */
  show(frame: FlameFrame, anchor: Element, left: number, hint: string): void {
    const box = anchor.getBoundingClientRect();
    this.#anchor = anchor;
    this.#anchorTop = box.top;
    this.#node.replaceChildren(...this.#content(frame));
    if (hint !== '') {
      this.#node.append(element('div', { class: 'fil-soft' }, hint));
    }
    this.#node.hidden = false;
    const { width, height } = this.#node.getBoundingClientRect();
    const isRoomBelow = box.bottom + GAP_PIXELS + height < window.innerHeight;
    const top = isRoomBelow ? box.bottom + GAP_PIXELS : Math.max(GAP_PIXELS, box.top - GAP_PIXELS - height);
    const rightmost = document.documentElement.clientWidth - width - GAP_PIXELS;
    this.#node.style.top = `${top}px`;
    this.#node.style.left = `${Math.max(GAP_PIXELS, Math.min(left, rightmost))}px`;
  }

  hide(): void {
    this.#anchor = null;
    this.#node.hidden = true;
  }

  dispose(): void {
    window.removeEventListener('scroll', this.#onScroll, { capture: true });
    this.#node.remove();
  }

  #content(flame: FlameFrame): Node[] {
    const { frame, selfBytes, foldedFrames, compared } = flame;
    const value = heldBytes(flame);
    const label = labelOf(flame);
    const { peakBytes, subject, sampling } = this.#report;
    const interval = intervalInWords(value, flame.sampledBytes, sampling);
    const content: Node[] = [];
    if (frame.kind === 'python') {
      content.push(
        element(
          'div',
          { class: 'fil-tip-where' },
          element('span', {}, frame.function),
          element(
            'span',
            { class: 'fil-soft' },
            frame.cell < 0 ? shortPlace(frame.file, frame.line) : placeLabel(frame, subject),
          ),
        ),
      );
      if (frame.sourceLine !== '') {
        content.push(element('div', { class: 'fil-tip-source' }, frame.sourceLine));
      }
    } else {
      content.push(
        element(
          'div',
          { class: 'fil-tip-where' },
          element('span', {}, label.name),
          element('span', { class: 'fil-soft' }, label.place),
        ),
      );
    }
    content.push(
      element(
        'div',
        {},
        element('strong', {}, formatBytes(value)),
        ...(interval === '' ? [] : [element('span', { class: 'fil-soft' }, ` ${interval}`)]),
        ` · ${say('%1 of the peak', formatShare(value, peakBytes))}`,
      ),
    );
    if (compared !== null) {
      content.push(element('div', {}, differenceInWords(compared)));
    }
    if (foldedFrames > 0) {
      const count = foldedFrames === 1 ? say('1 frame') : say('%1 frames', foldedFrames.toLocaleString('en-US'));
      content.push(element('div', { class: 'fil-soft' }, say('%1 of the library folded into it', count)));
    }
    if (frame.kind === 'python' && foldedFrames === 0 && selfBytes > 0 && selfBytes < value) {
      content.push(
        element(
          'div',
          { class: 'fil-soft' },
          say('%1 by this line itself', amountInWords(selfBytes, flame.selfSampledBytes, sampling)),
        ),
      );
    }
    return content;
  }
}

/** How a frame differs from the same one of the earlier report. */
export function differenceInWords({ now, before }: Compared): string {
  if (before.bytes === 0) {
    // A sample that saw nothing can have missed a little.
    return before.sampling === undefined
      ? say('new: nothing before')
      : say('new: less than %1 before', formatBytes(mostUnseenBytes(before.sampling)));
  }
  const then = amountInWords(before.bytes, before.sampledBytes, before.sampling);
  return now.bytes === 0
    ? say('gone: %1 before', then)
    : say('%1 compared with %2 before', changeInWords(now, before), then);
}

function shortPlace(file: string, line: number): string {
  return line > 0 ? `${shortFile(file)}:${line}` : shortFile(file);
}
