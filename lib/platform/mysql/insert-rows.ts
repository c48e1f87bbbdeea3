/**
 * Many rows in one statement, for the two tables of which a worker writes thousands of rows at once.
 *
 * The driver writes every value, here as everywhere: an id as text in the quotes of a hexadecimal literal, `X'…'`, where the
 * server takes nothing but digits. Handed over as a `Buffer`, an id costs the driver several times as much. A value that
 * all rows have is written once, and the text of it repeated with each row.
 */
import mysql, { type SqlValue } from 'mysql2';
import { digitsOf } from '#platform/kernel/ids.ts';
import type { Sql } from './mysql.ts';

/** A value of a row; an id is text. */
export type Value = SqlValue;

/** Where rows go: columns of ids, none of which is null, and then columns of other values. */
export interface Columns {
  readonly ids: readonly string[];
  readonly others: readonly string[];
}

/**
 * Inserts rows of values in the order of the columns; there must be one row at least. `insertInto` is the beginning of the
 * statement, with the table. Returns how many it inserted. Throws if an id is not the text of a UUID, and what `change` throws.
 */
export async function insertRows(
  sql: Pick<Sql, 'change'>,
  insertInto: string,
  { ids, others }: Columns,
  rows: readonly (readonly Value[])[],
): Promise<number> {
  const names = [...ids, ...others];
  const [first = []] = rows;
  const varied = names.map((_, place) => place).filter((place) => rows.some((one) => one[place] !== first[place]));
  const row = names.map((_, place) => {
    if (varied.includes(place)) return place < ids.length ? 'X?' : '?';
    return place < ids.length ? `X${mysql.escape(digitsOf(first[place] as string))}` : mysql.escape(first[place]);
  });
  const values = new Array<Value>(varied.length * rows.length);
  let at = 0;
  for (const one of rows) {
    for (const place of varied) values[at++] = place < ids.length ? digitsOf(one[place] as string) : one[place];
  }
  const text = `(${row.join()})`;
  return sql.change(`${insertInto} (${names.join()}) VALUES ${`${text},`.repeat(rows.length - 1)}${text}`, values);
}
