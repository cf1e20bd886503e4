/**
 * Draws a report in a cell's output.
 */
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';
import { REPORT_MIME_TYPE } from '../../schema/report.js';
import { messageElement } from './view/message.js';
import { ReportView } from './view/report-view.js';
import { unpackReport } from './view/unpack.js';

export class ReportRenderer extends Widget implements IRenderMime.IRenderer {
  #view: ReportView | null = null;

  constructor() {
    super();
    this.addClass('fil-output');
  }

  /** Draws the report of a mime model, in place of the last one. Never throws: what can't be drawn is said in the output. */
  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.#clear();
    try {
      this.#view = new ReportView(this.node, unpackReport(model.data[REPORT_MIME_TYPE]));
    } catch (error) {
      const text = model.data['text/plain'];
      this.node.append(messageElement(error, typeof text === 'string' ? text : ''));
    }
    return Promise.resolve();
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.#clear();
      super.dispose();
    }
  }

  #clear(): void {
    this.#view?.dispose();
    this.#view = null;
    this.node.replaceChildren();
  }
}
