/**
 * The badge of a sampled cell, and below it the report, once the reader opens it.
 */
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Panel, Widget } from '@lumino/widgets';
import { REPORT_MIME_TYPE, type Report } from '../../../schema/report.js';
import { sampledFigures, type SampledCell } from '../../../schema/sampled-cell.js';
import { say } from '../../../schema/words.js';
import { element } from '../view/dom.js';
import { unpackReport } from '../view/unpack.js';

export interface BadgeActions {
  /** Runs the cell again, counting every allocation. */
  readonly exact: () => void;
  /** Stores the report in the notebook, as an output of the cell. */
  readonly keep: () => void;
}

type Bundle = SampledCell['bundle'];

export class SampledBadge extends Panel {
  readonly bundle: Bundle;
  readonly #rendermime: IRenderMimeRegistry;
  readonly #toggle: HTMLButtonElement;
  #report: Widget | null = null;

  private constructor(bundle: Bundle, report: Report, rendermime: IRenderMimeRegistry, actions: BadgeActions) {
    super();
    this.bundle = bundle;
    this.#rendermime = rendermime;
    this.addClass('fil-sampled');
    const { short, long } = sampledFigures(report);
    this.#toggle = button(`≈ ${short}`, say('%1 Click: which lines held it.', long), () => {
      this.#open();
    });
    this.#toggle.setAttribute('aria-expanded', 'false');
    const node = element(
      'div',
      { class: 'fil-badge', attributes: { role: 'group', 'aria-label': say('Memory of this cell, sampled') } },
      this.#toggle,
      button(say('Exact'), say('Run this cell again and count every allocation'), actions.exact),
      button(say('Keep'), say('Store this report in the notebook, as an output of the cell'), actions.keep),
    );
    this.addWidget(new Widget({ node }));
  }

  /** A badge; null if the report can't be read: nobody has asked for it. */
  static of(bundle: Bundle, rendermime: IRenderMimeRegistry, actions: BadgeActions): SampledBadge | null {
    let report: Report;
    try {
      report = unpackReport(bundle[REPORT_MIME_TYPE]);
    } catch (error) {
      console.warn('The report of a sampled cell can not be read.', error);
      return null;
    }
    return new SampledBadge(bundle, report, rendermime, actions);
  }

  #open(): void {
    if (this.#report !== null) {
      this.#report.dispose();
      this.#report = null;
      this.#toggle.setAttribute('aria-expanded', 'false');
      return;
    }
    const renderer = this.#rendermime.createRenderer(REPORT_MIME_TYPE);
    this.#report = renderer;
    this.addWidget(renderer);
    this.#toggle.setAttribute('aria-expanded', 'true');
    void renderer.renderModel(this.#rendermime.createModel({ data: this.bundle as ReadonlyPartialJSONObject }));
  }
}

function button(text: string, title: string, clicked: () => void): HTMLButtonElement {
  const made = element('button', { title, attributes: { type: 'button' } }, text);
  made.addEventListener('click', clicked);
  return made;
}
