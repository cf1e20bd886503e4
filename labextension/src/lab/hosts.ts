/**
 * What a report in a notebook's output has around it: the cell with its editor, the runs before, the other reports.
 */
import type { INotebookTracker } from '@jupyterlab/notebook';
import { CodeCell } from '@jupyterlab/cells';
import { CodeMirrorEditor } from '@jupyterlab/codemirror';
import { isUserCode } from '../../../schema/places.js';
import { type Report, REPORT_MIME_TYPE, ReportEnvelope } from '../../../schema/report.js';
import { amountInWords, inShort, rangedAmount } from '../../../schema/sampling.js';
import { formatBytes } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import type { ReportRenderer } from '../renderer.js';
import type { OtherReport, ViewHost } from '../view/host.js';
import { lineRows } from '../../../schema/tree/lines.js';
import { foldedFrames } from '../../../schema/tree/model.js';
import { unpackReport } from '../view/unpack.js';
import { type Bar, showBars } from './bars.js';
import type { History } from './history.js';
import { pageOf } from './page.js';
import { cellAround, cellLabel, cellOfFrame, type CellPlace, goToLine, reportDataOf } from './places.js';
import { isOfBadge } from './sampled-badge.js';
import type { Settings } from './settings.js';

/** Smaller ones are too short to see, and would give the cell a gutter for nothing. */
const SMALLEST_BAR_SHARE = 0.005;

export class Hosts {
  readonly #tracker: INotebookTracker;
  readonly #history: History;
  readonly #settings: Settings;

  constructor(tracker: INotebookTracker, history: History, settings: Settings) {
    this.#tracker = tracker;
    this.#history = history;
    this.#settings = settings;
  }

  hostOf(renderer: ReportRenderer): ViewHost {
    const around = (): CellPlace | null => cellAround(this.#tracker, renderer.node);
    const place = (frame: Parameters<ViewHost['canJump']>[0]): CellPlace | null =>
      renderer.report === null ? null : cellOfFrame(frame, renderer.report, around());
    const settings = this.#settings;
    return {
      get defaultTab() {
        return settings.defaultView;
      },
      get isFolded() {
        return settings.isFolded;
      },
      canJump: (frame) => place(frame) !== null,
      jump: (frame) => {
        const to = place(frame);
        if (to !== null) {
          void goToLine(to, frame);
        }
      },
      previous: () => {
        const here = around();
        const data =
          here === null
            ? null
            : isOfBadge(renderer.node)
              ? this.#history.previousOfSampled(here.panel, here.cell, renderer.data?.[REPORT_MIME_TYPE])
              : this.#history.previous(here.panel, here.cell);
        return data === null || data === undefined
          ? null
          : { label: say('the last run'), load: () => unpackReport(data) };
      },
      others: () => this.#others(around()),
      htmlPage: () => pageOf(renderer.data ?? {}),
    };
  }

  /** Puts the bars of a report beside the lines of its cell, or takes them away. */
  showBars(renderer: ReportRenderer, isShown: boolean): void {
    const here = cellAround(this.#tracker, renderer.node);
    const { report } = renderer;
    if (here === null || report === null) {
      return;
    }
    const { cell } = here;
    void cell.ready.then(() => {
      const { editor } = cell;
      if (cell.isDisposed || !(editor instanceof CodeMirrorEditor)) {
        return;
      }
      showBars(
        editor.editor,
        isShown && this.#settings.hasBars
          ? {
              bars: barsOf(report),
              peakBytes: report.peakBytes,
              clicked: (line) => {
                renderer.view?.select((frame) => frame.line === line && isOfSubject(report, frame.cell));
              },
            }
          : null,
      );
    });
  }

  #others(here: CellPlace | null): OtherReport[] {
    if (here === null) {
      return [];
    }
    const others: OtherReport[] = [];
    for (const cell of here.panel.content.widgets) {
      const data = reportDataOf(cell);
      if (cell !== here.cell && cell instanceof CodeCell && data !== null) {
        const envelope = ReportEnvelope.safeParse(data);
        const peak = envelope.success ? `, ${peakOfEnvelope(envelope.data)}` : '';
        others.push({ label: `${cellLabel(cell)}${peak}`, load: () => unpackReport(data) });
      }
    }
    return others;
  }
}

/** The peak of a report that is not unpacked. */
export function peakOfEnvelope({ peakBytes, peakInterval }: ReportEnvelope): string {
  return rangedAmount(peakBytes, peakInterval);
}

/** What the lines of the profiled cell held, themselves and by what they called. */
export function barsOf(report: Report): Bar[] {
  return lineRows(foldedFrames(report), ({ frame }) => isUserCode(frame))
    .filter(({ frame, totalBytes }) => {
      return isOfSubject(report, frame.cell) && frame.line > 0 && totalBytes >= SMALLEST_BAR_SHARE * report.peakBytes;
    })
    .reduce<Bar[]>((bars, { frame, totalBytes, totalSampledBytes }) => {
      // A line can be of several functions, as of a comprehension and the code around it; the outer one has all.
      const known = bars.findIndex(({ line }) => line === frame.line);
      const amount = amountInWords(totalBytes, totalSampledBytes, report.sampling);
      const short = inShort(formatBytes(totalBytes), report.sampling);
      const bar = { line: frame.line, text: frame.sourceLine, bytes: totalBytes, short, amount };
      if (known < 0) {
        bars.push(bar);
      } else if ((bars[known]?.bytes ?? 0) < totalBytes) {
        bars[known] = bar;
      }
      return bars;
    }, []);
}

function isOfSubject({ subject }: Report, cell: number): boolean {
  return subject.kind === 'cell' && cell >= 0 && subject.executionCount === cell;
}
