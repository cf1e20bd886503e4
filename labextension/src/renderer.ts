/**
 * Draws a report in a cell's output.
 */
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { REPORT_MIME_TYPE, type Report } from '../../schema/report.js';
import type { ViewHost } from './view/host.js';
import { messageElement } from './view/message.js';
import { ReportView } from './view/report-view.js';
import { openReport } from './view/unpack.js';

/** What the extension does around an output. */
export interface OutputEvents {
  /** The report's surroundings. */
  hostOf(renderer: ReportRenderer): ViewHost;
  /** The report is drawn in its place. */
  shown(): void;
  /** It is about to leave it. */
  leaving(): void;
  /** The output is gone. */
  disposed(): void;
}

export class ReportRenderer extends Widget implements IRenderMime.IRenderer {
  readonly #host: ViewHost;
  readonly #events: OutputEvents;
  #view: ReportView | null = null;
  #model: IRenderMime.IMimeModel | null = null;
  #report: Report | null = null;
  /** Packed text of the report that it shows, or tried to. */
  #text: string | null = null;

  constructor(events: OutputEvents) {
    super();
    this.#events = events;
    this.#host = events.hostOf(this);
    this.addClass('fil-output');
  }

  /** The data that it draws, by MIME type; null before there is any. */
  get data(): Readonly<Record<string, unknown>> | null {
    return this.#model?.data ?? null;
  }

  /** What it shows; null if that is none, or can't be read. */
  get report(): Report | null {
    return this.#report;
  }

  get view(): ReportView | null {
    return this.#view;
  }

  /** Draws the report of a mime model, in place of the last one. Never throws: what can't be drawn is said in the output. */
  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    if (this.#report !== null && textOf(model) !== null && textOf(model) === this.#text) {
      // Only its metadata are others.
      this.#model = model;
      return;
    }
    this.#clear();
    this.#model = model;
    this.#text = textOf(model);
    try {
      const opened = openReport(model.data[REPORT_MIME_TYPE]);
      // Not always: the cell would grow a moment after it was drawn.
      const report = opened instanceof Promise ? await opened : opened;
      if (this.#model === model && !this.isDisposed) {
        this.#report = report;
        this.#draw(report);
      }
    } catch (error) {
      if (this.#model === model && !this.isDisposed) {
        const text = model.data['text/plain'];
        this.node.append(messageElement(error, typeof text === 'string' ? text : ''));
      }
    }
  }

  /** Draws anew, as when settings have changed. */
  redraw(): void {
    if (this.#report !== null) {
      this.#view?.dispose();
      this.#draw(this.#report);
    }
  }

  override dispose(): void {
    if (!this.isDisposed) {
      // Detaches it first, which takes what is around the output away.
      super.dispose();
      this.#clear();
      this.#model = null;
      this.#events.disposed();
    }
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.#tellShown();
  }

  protected override onBeforeDetach(message: Message): void {
    if (this.#report !== null) {
      this.#events.leaving();
    }
    super.onBeforeDetach(message);
  }

  #draw(report: Report): void {
    this.#view = new ReportView(this.node, report, this.#host);
    if (this.isAttached) {
      this.#tellShown();
    }
  }

  #tellShown(): void {
    if (this.#view !== null) {
      this.#view.attached();
      this.#events.shown();
    }
  }

  #clear(): void {
    this.#view?.dispose();
    this.#view = null;
    this.#report = null;
    this.node.replaceChildren();
  }
}

/** The packed text of a model's report; null if it has none. */
function textOf(model: IRenderMime.IMimeModel): string | null {
  const envelope: unknown = model.data[REPORT_MIME_TYPE];
  return typeof envelope === 'object' && envelope !== null && 'data' in envelope && typeof envelope.data === 'string'
    ? envelope.data
    : null;
}
