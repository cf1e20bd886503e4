/**
 * Columns of numbers and strings as zod schemas that check their elements in a plain loop. zod's own arrays run a schema for each
 * element and copy the array: 100 ms for a report of 5,000 nodes before anything is drawn.
 */
import * as z from 'zod/mini';

/** What stands in a column: as a schema, for types, messages and the JSON Schema, and as a loop that makes the same test. */
export interface ColumnElement<T> {
  readonly schema: z.ZodMiniType<T>;
  /** The first row whose value the schema would refuse; -1 if there is none. */
  readonly firstRefused: (values: readonly unknown[]) => number;
}

// Each loop is written out: one loop that calls a test for each element takes four times as long before it has been optimised.

/** Whole numbers that JSON and JavaScript represent exactly. */
export function wholeNumbers(least: number): ColumnElement<number> {
  return {
    schema: z.int().check(z.minimum(least)),
    firstRefused: (values) => {
      for (let row = 0; row < values.length; row++) {
        const value = values[row];
        if (!Number.isSafeInteger(value) || (value as number) < least) {
          return row;
        }
      }
      return -1;
    },
  };
}

export function numbers(least: number): ColumnElement<number> {
  return {
    schema: z.number().check(z.minimum(least)),
    firstRefused: (values) => {
      for (let row = 0; row < values.length; row++) {
        const value = values[row];
        if (typeof value !== 'number' || !Number.isFinite(value) || value < least) {
          return row;
        }
      }
      return -1;
    },
  };
}

export function strings(): ColumnElement<string> {
  return {
    schema: z.string(),
    firstRefused: (values) => {
      for (let row = 0; row < values.length; row++) {
        if (typeof values[row] !== 'string') {
          return row;
        }
      }
      return -1;
    },
  };
}

export function oneOf<const Value extends string>(known: readonly Value[]): ColumnElement<Value> {
  const all = new Set<unknown>(known);
  return {
    schema: z.enum(known),
    firstRefused: (values) => {
      for (let row = 0; row < values.length; row++) {
        if (!all.has(values[row])) {
          return row;
        }
      }
      return -1;
    },
  };
}

const elements = new WeakMap<object, z.ZodMiniType>();

/** The schema of a column's elements, which zod can't look into; undefined for other types. */
export function elementOf(type: object): z.ZodMiniType | undefined {
  return elements.get(type);
}

/** The schema of a column. The array that is parsed is the array that comes out. */
export function column<T>({ schema, firstRefused }: ColumnElement<T>): z.ZodMiniType<T[]> {
  const made = z.custom<T[]>(Array.isArray, 'expected an array').check(
    z.check((context) => {
      const row = firstRefused(context.value);
      if (row >= 0) {
        const input: unknown = context.value[row];
        const message = schema.safeParse(input).error?.issues[0]?.message ?? 'unexpected value';
        context.issues.push({ code: 'custom', path: [row], message, input });
      }
    }),
  );
  elements.set(made, schema);
  return made;
}
