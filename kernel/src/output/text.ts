/**
 * A report as plain text, for consoles and for tools that show nothing else.
 */
import type { Report } from '../../../schema/report.js';
import { frameLabel } from '../../../schema/places.js';
import { figuresInColumns } from '../../../schema/report-text.js';
import { type Line, headline, mappedInWords, pruningStatement, residentStatement, topLines, processesStatement, untouchedStatement } from '../../../schema/summary.js';

/** It stands in every notebook beside the other forms. */
const LARGEST_BYTES = 1023;
const MOST_LINES = 10;
const LONGEST_LINE = 80;
const LONGEST_STATEMENT = 240;

/** The headline and the top lines; less than a kilobyte of UTF-8, whatever the names are. */
export function toPlainText(report: Report): string {
  const lines = [
    ...headline(report).map((phrases) => cut(phrases.map(({ text }) => text).join(''), 2 * LONGEST_LINE)),
    '',
    ...topLines(report, MOST_LINES).map((line) => cut(textLine(line, report), LONGEST_LINE)),
  ];
  for (const statement of [pruningStatement(report), residentStatement(report), processesStatement(report), untouchedStatement(report)]) {
    if (statement !== null) {
      lines.push('', cut(statement, LONGEST_STATEMENT));
    }
  }
  let text = lines.join('\n').trimEnd();
  while (Buffer.byteLength(text) > LARGEST_BYTES) {
    text = text.slice(0, text.lastIndexOf('\n'));
  }
  return text;
}

/** The lines that held most, a text each: bytes, share of the peak, where. */
export function topLinesText(report: Report, most: number): string[] {
  return topLines(report, most).map((line) => cut(textLine(line, report), 2 * LONGEST_LINE));
}

function textLine(line: Line, report: Report): string {
  const { name, place, source } = frameLabel(line.frame, report.subject);
  return `${figuresInColumns(line, report)}  ${[name, place, mappedInWords(line.mapped), source].filter((part) => part !== '').join('  ')}`;
}

/** Cut by characters, never inside a surrogate pair. */
function cut(text: string, most: number): string {
  const characters = Array.from(text);
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join('')}…`;
}
