/**
 * The badge of a sampled cell, and below it the report, once the reader opens it.
 */
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Panel, Widget } from '@lumino/widgets';
import { REPORT_MIME_TYPE } from '../../../schema/report.js';
import { isNoteworthy, sampledFigures, type SampledCell, type SampledReport } from '../../../schema/sampled-cell.js';
import { say } from '../../../schema/words.js';
import { element } from '../view/dom.js';

type Bundle = NonNullable<SampledReport['bundle']>;

export interface BadgeActions {
  /** Asks the kernel for the report, which then comes by {@link SampledBadge.take}. Returns whether it can be asked. */
  readonly ask: (serial: number) => boolean;
  /** Runs the cell again, counting every allocation. */
  readonly exact: () => void;
  /** Stores a report in the notebook, as an output of the cell. */
  readonly keep: (bundle: Bundle) => void;
}

const BADGE_CLASS = 'fil-sampled';

/** Whether an element is in the report below a badge, rather than in an output of the cell. */
export function isOfBadge(node: Element): boolean {
  return node.closest(`.${BADGE_CLASS}`) !== null;
}

/** Whether it has come. */
type Answer = { readonly kind: 'unasked' | 'asked' | 'gone' } | { readonly kind: 'here'; readonly bundle: Bundle };

export class SampledBadge extends Panel {
  readonly told: SampledCell;
  readonly #rendermime: IRenderMimeRegistry;
  readonly #actions: BadgeActions;
  readonly #toggle: HTMLButtonElement;
  #answer: Answer = { kind: 'unasked' };
  /** What is shown below the badge. */
  #below: Widget | null = null;
  #keeps = false;

  constructor(told: SampledCell, rendermime: IRenderMimeRegistry, actions: BadgeActions) {
    super();
    this.told = told;
    this.#rendermime = rendermime;
    this.#actions = actions;
    this.addClass(BADGE_CLASS);
    if (!isNoteworthy(told)) {
      this.addClass('fil-quiet');
    }
    const { short, long } = sampledFigures(told);
    const hint = told.hasReport ? ` ${say('Click: which lines held it.')}` : '';
    this.#toggle = button(told.hasReport ? `≈ ${short}` : short, `${long}${hint}`, () => {
      this.#open();
    });
    this.#toggle.classList.add('fil-badge-figures');
    if (told.hasReport) {
      this.#toggle.setAttribute('aria-expanded', 'false');
    } else {
      this.#toggle.disabled = true;
    }
    const exact = button(say('Exact'), say('Run this cell again and count every allocation'), actions.exact);
    const keep = button(say('Keep'), say('Store this report in the notebook, as an output of the cell'), () => {
      this.#keep();
    });
    const node = element(
      'div',
      {
        class: 'fil-badge',
        // Or the notebook takes the keys that press a button.
        attributes: {
          role: 'group',
          'aria-label': say('Memory of this cell, sampled'),
          'data-lm-suppress-shortcuts': 'true',
        },
      },
      this.#toggle,
      exact,
      ...(told.hasReport ? [keep] : []),
    );
    this.addWidget(new Widget({ node }));
  }

  /** The report has come, or is not kept any more. */
  take(bundle: Bundle | null): void {
    this.#answer = bundle === null ? { kind: 'gone' } : { kind: 'here', bundle };
    if (this.#keeps && bundle !== null) {
      this.#actions.keep(bundle);
    } else if (this.#keeps || this.#below !== null) {
      this.#show();
    }
    this.#keeps = false;
  }

  #open(): void {
    if (this.#below !== null) {
      this.#below.dispose();
      this.#below = null;
      this.#toggle.setAttribute('aria-expanded', 'false');
      this.removeClass('fil-open');
      return;
    }
    this.#ask();
    this.#show();
  }

  #keep(): void {
    if (this.#answer.kind === 'here') {
      this.#actions.keep(this.#answer.bundle);
      return;
    }
    this.#ask();
    this.#keeps = this.#answer.kind === 'asked';
    if (!this.#keeps) {
      this.#show();
    }
  }

  #ask(): void {
    if (this.#answer.kind !== 'here') {
      this.#answer = { kind: this.#actions.ask(this.told.serial) ? 'asked' : 'gone' };
    }
  }

  #show(): void {
    this.#below?.dispose();
    this.#toggle.setAttribute('aria-expanded', 'true');
    this.addClass('fil-open');
    if (this.#answer.kind === 'here') {
      const renderer = this.#rendermime.createRenderer(REPORT_MIME_TYPE);
      this.#below = renderer;
      this.addWidget(renderer);
      const data = this.#answer.bundle as ReadonlyPartialJSONObject;
      void renderer.renderModel(this.#rendermime.createModel({ data }));
      return;
    }
    const text =
      this.#answer.kind === 'asked'
        ? say('The report is being made …')
        : say('The kernel has this report no more: it ended, or many cells ran since. Run the cell again.');
    this.#below = new Widget({ node: element('p', { class: 'fil-soft', attributes: { role: 'status' } }, text) });
    this.addWidget(this.#below);
  }
}

function button(text: string, title: string, clicked: () => void): HTMLButtonElement {
  const made = element('button', { title, attributes: { type: 'button' } }, text);
  made.addEventListener('click', clicked);
  made.addEventListener('mousedown', (event) => {
    // A click leaves the focus, and so the keys, with the notebook.
    event.preventDefault();
  });
  return made;
}
