/**
 * A report as JSON text in pieces: as one string, a complete report could be longer than a string can be.
 */
import type { Report } from '../../../schema/report.js';

/** Elements of a column that are turned into text at a time. */
const SLICE = 10_000;

/** The very text that `JSON.stringify` gives, and a line feed. */
export function* reportJson(report: Report): Generator<string> {
  yield* objectJson(report);
  yield '\n';
}

function* objectJson(object: object): Generator<string> {
  let separator = '{';
  for (const [name, value] of Object.entries(object) as [string, unknown][]) {
    if (value === undefined) {
      continue;
    }
    yield `${separator}${JSON.stringify(name)}:`;
    separator = ',';
    if (Array.isArray(value) && value.length > SLICE) {
      yield* arrayJson(value);
    } else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      yield* objectJson(value);
    } else {
      yield JSON.stringify(value);
    }
  }
  yield separator === '{' ? '{}' : '}';
}

function* arrayJson(values: readonly unknown[]): Generator<string> {
  for (let start = 0; start < values.length; start += SLICE) {
    const text = JSON.stringify(values.slice(start, start + SLICE));
    yield `${start === 0 ? '[' : ','}${text.slice(1, -1)}`;
  }
  yield ']';
}
