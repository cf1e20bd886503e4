/**
 * What the profiled process itself knows at the end of a cell, beside its memory: the notebook's variables, and facts about code and data
 * that name usual causes of high peaks. Facts only: `findings.ts` says which of them the peak's call stacks confirm.
 */
import * as z from 'zod/mini';

const count = z.int().check(z.minimum(0));
const bytes = z.int().check(z.minimum(0));
const names = z.array(z.string());

/** An object that variables stand for. */
export const Variable = z.object({
  /** All its names; `Out[7]` for a displayed result that the notebook remembers. */
  names,
  /** Name of its class. */
  type: z.string(),
  /** What it holds that no variable before it in the list holds already. */
  bytes,
  /** False where it holds more than was looked at: `bytes` is a lower bound. */
  isWhole: z.boolean(),
  /** The n of `In [n]` of the cell that made it; null where no cell is known to. */
  cell: z.nullable(count),
  /** The line of that cell that gave it its first name; 0 where that is not certain. */
  line: count,
});
export type Variable = z.infer<typeof Variable>;

/** A statement of a cell, from its first line to its last. */
const statement = { cell: count, firstLine: count, lastLine: count };
/** A table of pandas: the variable's names, and how many of its columns are of the kind in question. */
const columns = { names, rows: count, bytes, columnCount: count };

export const Clue = z.discriminatedUnion('kind', [
  /** `name = call([name, ...])` in a loop: each round copies all of `name`. */
  z.object({ kind: z.literal('grown-in-loop'), ...statement, loopLine: count, name: z.string(), call: z.string() }),
  /** `something().copy().next(...)`, where `next` leaves what it is called on as it is. */
  z.object({ kind: z.literal('copied-before-call'), ...statement, next: z.string() }),
  /** Columns of Python objects. */
  z.object({
    kind: z.literal('object-columns'),
    ...columns,
    /** Most bytes first; not all where there are many. */
    columns: z.array(
      z.object({
        name: z.string(),
        /** References and objects, each object once; a lower bound where `distinctCount` is null. */
        bytes,
        /** How many different texts it has; null where it has other objects, or was too large to look at. */
        distinctCount: z.nullable(count),
        /** What the column would take as a category; null where `distinctCount` is. */
        categoryBytes: z.nullable(bytes),
      }),
    ),
  }),
  /** Columns of float64. */
  z.object({
    kind: z.literal('float64-columns'),
    ...columns,
    /** Names; not all where there are many. */
    columns: names,
    /** Of these columns, those whose values were all seen to be the same as float32, and their bytes. */
    exactColumnCount: count,
    exactBytes: bytes,
  }),
]);
export type Clue = z.infer<typeof Clue>;

export const Observed = z.object({
  /** Most bytes first; only the largest. */
  variables: z.array(Variable),
  clues: z.array(Clue),
});
export type Observed = z.infer<typeof Observed>;
