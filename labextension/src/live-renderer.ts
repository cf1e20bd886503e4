/**
 * Draws a running profile in a cell's output, until the report takes its place.
 */
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';
import { LIVE_MIME_TYPE } from '../../schema/live.js';
import { LiveView } from './view/live.js';

export class LiveRenderer extends Widget implements IRenderMime.IRenderer {
  readonly #view: LiveView | null;

  /** @param isWanted whether the reader wants to see it; else nothing is drawn. */
  constructor(isWanted: boolean) {
    super();
    this.#view = isWanted ? new LiveView() : null;
    if (this.#view !== null) {
      this.addClass('fil-output');
      this.node.append(this.#view.element);
    }
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.#view?.update(model.data[LIVE_MIME_TYPE]);
    return Promise.resolve();
  }

  override dispose(): void {
    this.#view?.dispose();
    super.dispose();
  }
}
