/**
 * A report as its reader sees it: the answer in words, then the picture. The same in a notebook and in the one-file page.
 */
import type { Report } from '../../../schema/report.js';
import { pruningStatement } from '../../../schema/summary.js';
import { formatBytes, formatShare } from '../../../schema/units.js';
import { element } from './dom.js';
import { Flamegraph } from './flamegraph.js';
import { headlineElement } from './headline.js';
import { HEAT_LEVELS } from './model.js';

/** Searching while somebody types would mark half of the frames first. */
const SEARCH_DELAY_MILLISECONDS = 120;

/** Adds itself to an element and draws; {@link dispose} takes everything away again. */
export class ReportView {
  readonly #root: HTMLElement;
  readonly #flamegraph: Flamegraph | null = null;
  #searchTimer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param host where to draw; its other content stays.
   * @throws {RangeError} if the report can't be drawn; then nothing was added.
   */
  constructor(host: HTMLElement, report: Report) {
    const parts: HTMLElement[] = [headlineElement(report)];
    if (report.peakBytes > 0) {
      const status = element('span', { class: 'fil-status', attributes: { role: 'status' } });
      const reset = element('button', { class: 'fil-button', attributes: { type: 'button' } }, 'Reset zoom');
      reset.disabled = true;
      const spoken = element('div', { class: 'fil-spoken', attributes: { 'aria-live': 'polite' } });
      const flamegraph = new Flamegraph(report, {
        zoomed: (frame) => {
          reset.disabled = frame === null;
        },
        focused: (frame) => {
          spoken.textContent = flamegraph.describe(frame);
        },
      });
      this.#flamegraph = flamegraph;
      reset.addEventListener('click', () => {
        flamegraph.resetZoom();
      });
      parts.push(
        element(
          'div',
          { class: 'fil-toolbar' },
          legendElement(),
          status,
          this.#searchBox(report, flamegraph, status),
          reset,
        ),
        flamegraph.element,
        spoken,
      );
    }
    const remarks = report.notes.map(({ code, text }) =>
      element('p', { class: 'fil-note', attributes: { 'data-code': code } }, text),
    );
    const pruned = pruningStatement(report);
    if (pruned !== null) {
      remarks.push(element('p', { class: 'fil-pruned' }, pruned));
    }
    this.#root = element(
      'section',
      { class: 'fil-report', attributes: { 'aria-label': 'Memory profile' } },
      ...parts,
      ...remarks,
    );
    host.append(this.#root);
  }

  dispose(): void {
    clearTimeout(this.#searchTimer);
    this.#flamegraph?.dispose();
    this.#root.remove();
  }

  #searchBox(report: Report, flamegraph: Flamegraph, status: HTMLElement): HTMLElement {
    const input = element('input', {
      class: 'fil-search',
      attributes: {
        type: 'search',
        placeholder: 'Search',
        'aria-label': 'Search functions, files and source lines',
        spellcheck: 'false',
        'data-lm-suppress-shortcuts': 'true',
      },
    });
    input.addEventListener('input', () => {
      clearTimeout(this.#searchTimer);
      this.#searchTimer = setTimeout(() => {
        const { frames, bytes } = flamegraph.search(input.value);
        const found = `${frames.size} frame${frames.size === 1 ? '' : 's'}, ${formatBytes(bytes)}, ${formatShare(bytes, report.peakBytes)}`;
        status.textContent = input.value.trim() === '' ? '' : frames.size === 0 ? 'not found' : found;
      }, SEARCH_DELAY_MILLISECONDS);
    });
    return input;
  }
}

/** Says what width and colour mean. */
function legendElement(): HTMLElement {
  const shades = element('span', { class: 'fil-shades', attributes: { 'aria-hidden': 'true' } });
  for (let heat = 1; heat <= HEAT_LEVELS; heat++) {
    shades.append(element('i', { attributes: { 'data-heat': String(heat) } }));
  }
  return element('span', { class: 'fil-legend' }, shades, 'wider and redder: more memory at the peak');
}
