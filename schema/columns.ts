/**
 * Access to columns: reports and snapshots are tables of equally long arrays.
 */

/**
 * The value in a row of a column.
 *
 * @throws {RangeError} if the column has no such row: always a mistake of the caller, as data from outside is checked first.
 */
export function at<T extends number | string>(column: ArrayLike<T>, row: number): T {
  const value = column[row];
  if (value === undefined) {
    throw new RangeError(`Row ${row} of a column of ${column.length} rows was asked for.`);
  }
  return value;
}
