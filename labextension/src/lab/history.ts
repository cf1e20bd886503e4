/**
 * The reports that a notebook's cells showed in the run before, to compare with. They are kept in the notebook, in the metadata of the
 * output that followed, so that they are there when it is opened again, and gone when the output is cleared.
 */
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { Cell, CodeCell } from '@jupyterlab/cells';
import type { IOutputModel } from '@jupyterlab/rendermime';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { REPORT_MIME_TYPE } from '../../../schema/report.js';
import { reportOutputOf } from './places.js';

interface Runs {
  readonly latest: unknown;
  /** That of the run before; null if there was none. */
  readonly previous: unknown;
}

const LOOK_MILLISECONDS = 500;
/** Characters of a report from which on it is not kept in the notebook: far above those that Fil's kernel makes. */
const LARGEST_KEPT = 400_000;
/** Where an output's metadata has the report of the run before, below the MIME type. */
const PREVIOUS = 'previous';

/** Kept as they are stored: a few kilobytes each, unpacked when somebody compares. */
export class History {
  readonly #runs = new WeakMap<NotebookPanel, Map<string, Runs>>();
  /** Of sampled cells, whose reports stand in no output, what was seen of them since the last output. Not stored in the notebook. */
  readonly #sampled = new WeakMap<Cell, Runs>();

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
        this.#take(known, cell);
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
  previous(panel: NotebookPanel, cell: CodeCell): unknown {
    const known = this.#runs.get(panel);
    if (known === undefined) {
      return null;
    }
    this.#take(known, cell);
    return known.get(cell.model.id)?.previous ?? null;
  }

  /**
   * The data of the report that a cell showed before one of its samples, which is in none of its outputs; null if there is none.
   *
   * @param data of that sample's report, which from now on is the last one that was seen.
   */
  previousOfSampled(panel: NotebookPanel, cell: Cell, data: unknown): unknown {
    const seen = this.#sampled.get(cell);
    if (isSame(seen?.latest, data)) {
      return seen?.previous ?? null;
    }
    const previous = seen?.latest ?? this.#runs.get(panel)?.get(cell.model.id)?.latest ?? null;
    this.#sampled.set(cell, { latest: data, previous });
    return previous;
  }

  #take(known: Map<string, Runs>, cell: Cell): void {
    const output = reportOutputOf(cell);
    const data = output?.data[REPORT_MIME_TYPE];
    const runs = known.get(cell.model.id);
    if (output === null || isSame(runs?.latest, data)) {
      return;
    }
    const seen = this.#sampled.get(cell);
    if (seen !== undefined) {
      this.#sampled.delete(cell);
      // The reader has kept that very sample, or has run the cell once more since.
      known.set(cell.model.id, { latest: data, previous: isSame(seen.latest, data) ? seen.previous : seen.latest });
      return;
    }
    if (runs === undefined) {
      known.set(cell.model.id, { latest: data, previous: keptIn(output) });
      return;
    }
    known.set(cell.model.id, { latest: data, previous: runs.latest });
    if ((packed(runs.latest)?.length ?? Infinity) <= LARGEST_KEPT) {
      const metadata = { ...output.metadata, [REPORT_MIME_TYPE]: { [PREVIOUS]: runs.latest } };
      output.setData({ metadata: metadata as ReadonlyPartialJSONObject });
    }
  }
}

/** What {@link PREVIOUS} of an output's metadata is. */
function keptIn({ metadata }: IOutputModel): unknown {
  const ofReport: unknown = metadata[REPORT_MIME_TYPE];
  return typeof ofReport === 'object' && ofReport !== null && PREVIOUS in ofReport ? ofReport[PREVIOUS] : null;
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
