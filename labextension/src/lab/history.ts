/**
 * The reports that a notebook's cells have shown since it was opened, to compare with.
 */
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { CodeCell } from '@jupyterlab/cells';
import { reportDataOf } from './places.js';

interface Runs {
  readonly latest: unknown;
  /** That of the run before; null if there was none. */
  readonly previous: unknown;
}

const LOOK_MILLISECONDS = 500;

/** Kept as they are stored: a few kilobytes each, unpacked when somebody compares. */
export class History {
  readonly #runs = new WeakMap<NotebookPanel, Map<string, Runs>>();

  /** Takes notice of what a notebook's cells show, now and whenever an output comes. */
  follow(panel: NotebookPanel): void {
    const known = new Map<string, Runs>();
    this.#runs.set(panel, known);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = (): void => {
      timer = undefined;
      if (panel.isDisposed) {
        return;
      }
      for (const cell of panel.content.widgets) {
        this.#take(known, cell.model.id, reportDataOf(cell));
      }
    };
    void panel.context.ready.then(() => {
      look();
      panel.content.modelContentChanged.connect(() => {
        // Also with every key that is pressed.
        timer ??= setTimeout(look, LOOK_MILLISECONDS);
      });
    });
  }

  /** The data of the report that a cell showed before the present one; null if there is none. */
  previous(panel: NotebookPanel, cell: CodeCell, presentData: unknown): unknown {
    const known = this.#runs.get(panel);
    if (known === undefined) {
      return null;
    }
    this.#take(known, cell.model.id, presentData);
    return known.get(cell.model.id)?.previous ?? null;
  }

  #take(known: Map<string, Runs>, cell: string, data: unknown): void {
    const runs = known.get(cell);
    if (data === null || data === undefined || isSame(runs?.latest, data)) {
      return;
    }
    known.set(cell, { latest: data, previous: runs?.latest ?? null });
  }
}

/** Output models hand out copies. */
function isSame(a: unknown, b: unknown): boolean {
  return a === b || (packed(a) !== null && packed(a) === packed(b));
}

function packed(data: unknown): string | null {
  return typeof data === 'object' && data !== null && 'data' in data && typeof data.data === 'string'
    ? data.data
    : null;
}
