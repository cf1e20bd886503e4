/**
 * Where things are in notebooks: which cell an output is in, which cell a frame is of, and how to get there.
 */
import { type Cell, CodeCell } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { IOutputModel } from '@jupyterlab/rendermime';
import type { Frame } from '../../../schema/places.js';
import { REPORT_MIME_TYPE, type Report } from '../../../schema/report.js';
import { say } from '../../../schema/words.js';

/** A code cell in an open notebook. */
export interface CellPlace {
  readonly panel: NotebookPanel;
  readonly cell: CodeCell;
}

/** The cell whose output contains an element; null if it is in none. */
export function cellAround(tracker: INotebookTracker, node: Node): CellPlace | null {
  let found: CellPlace | null = null;
  tracker.forEach((panel) => {
    if (panel.node.contains(node)) {
      const cell = panel.content.widgets.find((widget) => widget.node.contains(node));
      if (cell instanceof CodeCell) {
        found = { panel, cell };
      }
    }
  });
  return found;
}

/** The cell that a frame's code is of: the profiled one itself, or that which has its number now. */
export function cellOfFrame(frame: Frame, report: Report, around: CellPlace | null): CellPlace | null {
  if (around === null || frame.cell < 0) {
    return null;
  }
  const { subject } = report;
  if (subject.kind === 'cell' && subject.executionCount === frame.cell) {
    return around;
  }
  const { panel } = around;
  const cell = panel.content.widgets.find(
    (widget): widget is CodeCell => widget instanceof CodeCell && widget.model.executionCount === frame.cell,
  );
  return cell === undefined ? null : { panel, cell };
}

/** The code cell that had an id and a number when it ran; null if the notebook has it no more. */
export function cellWith(panel: NotebookPanel, id: string | null, number: number): CodeCell | null {
  const cells = panel.content.widgets.filter((widget) => widget instanceof CodeCell);
  return cells.find(({ model }) => (id === null ? model.executionCount === number : model.id === id)) ?? null;
}

/** Puts the cursor at a line of a cell, from 1; 0 for the cell as a whole. */
export async function goToLineNumber({ panel, cell }: CellPlace, line: number): Promise<void> {
  await goToCell(panel, cell);
  const { editor } = cell;
  if (editor !== null && line > 0) {
    selectLine(panel, editor, Math.min(line, editor.lineCount) - 1);
  }
}

/** Puts the cursor at a frame's line, even if the line has moved within its cell. */
export async function goToLine({ panel, cell }: CellPlace, frame: Frame): Promise<void> {
  await goToCell(panel, cell);
  const { editor } = cell;
  if (editor === null) {
    return;
  }
  const lines = cell.model.sharedModel.getSource().split('\n');
  const isThere = lines[frame.line - 1]?.trim() === frame.sourceLine;
  const moved = isThere || frame.sourceLine === '' ? -1 : lines.findIndex((text) => text.trim() === frame.sourceLine);
  const line = Math.min(moved >= 0 ? moved : Math.max(0, frame.line - 1), lines.length - 1);
  selectLine(panel, editor, line);
}

/** @param line from 0. */
function selectLine({ content }: NotebookPanel, editor: NonNullable<CodeCell['editor']>, line: number): void {
  content.mode = 'edit';
  editor.focus();
  editor.setSelection({ start: { line, column: 0 }, end: { line, column: editor.getLine(line)?.length ?? 0 } });
  editor.revealPosition({ line, column: 0 });
}

/** Makes a cell the active one and brings it into view. */
export async function goToCell(panel: NotebookPanel, cell: Cell): Promise<void> {
  const { content } = panel;
  content.activeCellIndex = content.widgets.indexOf(cell);
  await content.scrollToItem(content.activeCellIndex, 'smart');
  await cell.ready;
}

/** The output of a cell that has a report, the last of several; null if none has. */
export function reportOutputOf(cell: Cell): IOutputModel | null {
  if (!(cell instanceof CodeCell)) {
    return null;
  }
  const { outputs } = cell.model;
  for (let nth = outputs.length - 1; nth >= 0; nth--) {
    const output = outputs.get(nth);
    if (output.data[REPORT_MIME_TYPE] !== undefined) {
      return output;
    }
  }
  return null;
}

/** The data of the report that a cell shows; null if it shows none. */
export function reportDataOf(cell: Cell): unknown {
  return reportOutputOf(cell)?.data[REPORT_MIME_TYPE] ?? null;
}

/** A cell where there is little room: as Jupyter marks it. */
export function promptLabel(executionCount: number | null): string {
  return `[${executionCount ?? ' '}]`;
}

/** What a reader calls a cell. */
export function cellLabel(cell: CodeCell): string {
  return say('Cell [%1]', cell.model.executionCount ?? ' ');
}
