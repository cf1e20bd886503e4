/**
 * What the process told at the end, as far as a report has use for it.
 */
import type { Clue, Observed } from '../../../schema/observed.js';
import type { Report } from '../../../schema/report.js';
import { displayable } from './text.js';

const LONGEST_NAME = 80;

/** The same with all names fit to be shown. */
export function displayableObserved({ variables, clues }: Observed): Observed {
  return {
    variables: variables.map((variable) => ({
      ...variable,
      names: variable.names.map(shown),
      type: shown(variable.type),
    })),
    clues: clues.map(displayableClue),
  };
}

/** Without clues about lines that are in no call stack of the report. */
export function withoutUnrelatedClues({ variables, clues }: Observed, { cell, line }: Report['frames']): Observed {
  const isShown = (of: number, first: number, last: number): boolean =>
    cell.some((number, row) => number === of && (line[row] ?? 0) >= first && (line[row] ?? 0) <= last);
  return {
    variables,
    clues: clues.filter((clue) => !('firstLine' in clue) || isShown(clue.cell, clue.firstLine, clue.lastLine)),
  };
}

function displayableClue(clue: Clue): Clue {
  switch (clue.kind) {
    case 'grown-in-loop':
      return { ...clue, name: shown(clue.name), call: shown(clue.call) };
    case 'copied-before-call':
      return { ...clue, next: shown(clue.next) };
    case 'object-columns':
      return {
        ...clue,
        names: clue.names.map(shown),
        columns: clue.columns.map((column) => ({ ...column, name: shown(column.name) })),
      };
    case 'float64-columns':
      return { ...clue, names: clue.names.map(shown), columns: clue.columns.map(shown) };
  }
}

function shown(name: string): string {
  return displayable(name, LONGEST_NAME);
}
