import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { column, type ColumnElement, numbers, oneOf, strings, wholeNumbers } from '../column-schema.js';

const elements: readonly [string, ColumnElement<unknown>][] = [
  ['whole numbers from 0', wholeNumbers(0)],
  ['whole numbers from -1', wholeNumbers(-1)],
  ['numbers from 0', numbers(0)],
  ['strings', strings()],
  ['known words', oneOf(['root', 'python'])],
];

const values = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.string(),
  fc.constantFrom('root', 'python', null, undefined, true, NaN, Infinity, -0, -1, 0.5, 2 ** 53, '1', []),
);

describe.each(elements)('a column of %s', (_, element) => {
  test('refuses exactly what its schema refuses, and names the row', () => {
    fc.assert(
      fc.property(fc.array(values, { maxLength: 8 }), (rows) => {
        const refused = rows.findIndex((value) => !z.safeParse(element.schema, value).success);
        const result = z.safeParse(column(element), rows);
        expect(result.success).toBe(refused < 0);
        expect(result.error?.issues.map(({ path }) => path) ?? []).toEqual(refused < 0 ? [] : [[refused]]);
      }),
    );
  });

  test('is an array', () => {
    expect(z.safeParse(column(element), { length: 0 }).success).toBe(false);
    expect(z.safeParse(column(element), 'root').success).toBe(false);
  });
});
