/**
 * Where a frame is, in few words: the same words in the notebook's view, in the static form and in plain text.
 */
import { at } from './columns.js';
import type { FrameKind, Report } from './report.js';
import { say } from './words.js';

/** Installed packages, and Python's own library. */
const PACKAGES = /(?:^|[/\\])(?:site-packages|dist-packages)[/\\]/g;
const STANDARD_LIBRARY = /(?:^|[/\\])lib(?:64)?[/\\]python3\.\d+[/\\]/g;
/** IPython's names for the top level of a cell. */
const TOP_LEVEL = /^<(?:module|cell line: \d+)>$/;

/** One row of the frame table. */
export interface Frame {
  readonly kind: FrameKind;
  readonly function: string;
  readonly file: string;
  readonly line: number;
  readonly sourceLine: string;
  readonly cell: number;
}

/** A row of a report's frame table. */
export function frameAt(report: Report, row: number): Frame {
  const { kind, function: names, file, line, sourceLine, cell } = report.frames;
  return {
    kind: at(kind, row),
    function: at(names, row),
    file: at(file, row),
    line: at(line, row),
    sourceLine: at(sourceLine, row),
    cell: at(cell, row),
  };
}

/**
 * The path of a library's file without where the library is installed: `site-packages/pandas/core/frame.py`,
 * `lib/python3.12/json/decoder.py`; others as they are. Notebooks are shared, and the home directory of who ran them is nobody's business.
 */
export function withoutInstallation(file: string): string {
  let start = 0;
  for (const pattern of [PACKAGES, STANDARD_LIBRARY]) {
    for (const match of file.matchAll(pattern)) {
      start = Math.max(start, match.index + (/^[/\\]/.test(match[0]) ? 1 : 0));
    }
  }
  return file.slice(start);
}

/** A report has few files and many frames, each asked about several times. */
const libraryStarts = new Map<string, number>();
const MOST_REMEMBERED = 10_000;

/** Where the path inside a library begins; -1 if the file is not of a library. */
function libraryStart(file: string): number {
  let start = libraryStarts.get(file);
  if (start === undefined) {
    start = findLibraryStart(file);
    if (libraryStarts.size >= MOST_REMEMBERED) {
      libraryStarts.clear();
    }
    libraryStarts.set(file, start);
  }
  return start;
}

function findLibraryStart(file: string): number {
  let start = -1;
  for (const pattern of [PACKAGES, STANDARD_LIBRARY]) {
    for (const match of file.matchAll(pattern)) {
      start = Math.max(start, match.index + match[0].length);
    }
  }
  return start;
}

/** Whether a frame is of the user's own code: a cell, or a file that is neither of an installed package nor of Python itself. */
export function isUserCode(frame: Frame): boolean {
  return frame.kind === 'python' && (frame.cell >= 0 || (!frame.file.startsWith('<') && libraryStart(frame.file) < 0));
}

/** Whether a frame is what a line mapped: a file or shared memory, not memory of its own. */
export function isMapping(frame: Frame): boolean {
  return frame.kind === 'mapped-file' || frame.kind === 'shared-memory';
}

/** A path without what every path of its kind begins with: `pandas/core/frame.py`, `json/decoder.py`. */
export function shortFile(file: string): string {
  const start = libraryStart(file);
  return start < 0 ? file : file.slice(start);
}

/** The library that a file belongs to (`pandas`); empty if it is of none. */
export function libraryOf(file: string): string {
  // Modules that Python brings within itself, as `<frozen importlib._bootstrap>`.
  const frozen = /^<frozen (\w+)[\w.]*>$/.exec(file)?.[1];
  if (frozen !== undefined) {
    return frozen;
  }
  if (libraryStart(file) < 0) {
    return '';
  }
  return (shortFile(file).split(/[/\\]/)[0] ?? '').replace(/\.py$/, '');
}

/** Whether a frame is of the top level of its file or cell, in no function. */
export function isTopLevel(frame: Frame): boolean {
  return TOP_LEVEL.test(frame.function);
}

/** What was profiled, as a heading: `Cell [7]`, `python train.py`. */
export function subjectLabel(subject: Report['subject']): string {
  switch (subject.kind) {
    case 'cell':
      return subject.executionCount === null ? say('Cell') : say('Cell [%1]', subject.executionCount);
    case 'program':
      return subject.command.join(' ');
    case 'call':
      return `${subject.name}()`;
  }
}

/** Where a frame is, seen from the profiled code: `line 3` in the profiled cell, `Cell [2] line 5`, `pandas/core/frame.py:7172`. */
export function placeLabel(frame: Frame, subject: Report['subject']): string {
  if (frame.cell < 0) {
    const file = shortFile(frame.file);
    return frame.line > 0 ? `${file}:${frame.line}` : file;
  }
  return subject.kind === 'cell' && subject.executionCount === frame.cell
    ? say('line %1', frame.line)
    : say('Cell [%1] line %2', frame.cell, frame.line);
}

/** A frame's label in parts, in the order in which they are read; any but `name` may be empty. */
export interface FrameLabel {
  /** What it is: a place for the user's top-level lines, the function for others. */
  readonly name: string;
  /** Where that is. */
  readonly place: string;
  /** Text of the line, for the user's own code. */
  readonly source: string;
}

/** The label of a frame in a picture of the call stacks. */
export function frameLabel(frame: Frame, subject: Report['subject']): FrameLabel {
  switch (frame.kind) {
    case 'root':
      return { name: subjectLabel(subject), place: '', source: '' };
    case 'other':
      return { name: say('other'), place: say('too small to show'), source: '' };
    case 'no-python-stack':
      return { name: say('no Python stack'), place: say('memory of native threads and libraries'), source: '' };
    case 'skipped-callers':
      return { name: '…', place: say('callers left out: the stack is too deep to draw'), source: '' };
    case 'mapped-file':
      return { name: say('mapped file'), place: shortFile(frame.file), source: '' };
    case 'shared-memory':
      return { name: say('shared memory'), place: frame.file, source: '' };
    case 'process':
      return { name: frame.function, place: '', source: '' };
    case 'task':
      return frame.function === ''
        ? { name: say('outside of tasks'), place: '', source: '' }
        : { name: frame.function, place: say('task'), source: '' };
    case 'python':
      break;
  }
  const place = placeLabel(frame, subject);
  if (!isUserCode(frame)) {
    return { name: frame.function, place: libraryOf(frame.file) || place, source: '' };
  }
  const isInTopLevel = isTopLevel(frame);
  return {
    name: isInTopLevel ? place : frame.function,
    place: isInTopLevel ? '' : placeInShort(frame, place),
    source: frame.sourceLine,
  };
}

/** The last part of a path is enough beside a function's name. */
function placeInShort(frame: Frame, place: string): string {
  return frame.cell >= 0 ? place : (place.split(/[/\\]/).at(-1) ?? place);
}

/** A frame as Fil writes it in its files and pictures: `path:line (function)`; in brackets what is no frame of Python. */
export function frameInFull(frame: Frame): string {
  switch (frame.kind) {
    case 'root':
      return '[all memory]';
    case 'other':
      return '[other: too small to show]';
    case 'no-python-stack':
      return '[No Python stack]';
    case 'skipped-callers':
      return '[callers left out: the stack is too deep]';
    case 'mapped-file':
      return `[mapped file ${frame.file}]`;
    case 'shared-memory':
      return frame.file === '' ? '[shared memory]' : `[shared memory ${frame.file}]`;
    case 'process':
      return `[process ${frame.function}]`;
    case 'task':
      return frame.function === '' ? '[outside of tasks]' : `[task ${frame.function}]`;
    case 'python':
      return `${frame.file}:${frame.line} (${frame.function})`;
  }
}
