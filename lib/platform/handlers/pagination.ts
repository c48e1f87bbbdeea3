/**
 * Cursor pagination: every list returns a page, and a cursor that names the last row on it.
 *
 * A cursor is opaque: the position of the last row, with a checksum over it and the list's name. So a cursor that was
 * altered, truncated, or taken from another list is refused instead of silently starting elsewhere. It is not a secret
 * and grants nothing: the owner in the WHERE decides whose rows are read, never the cursor.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { wholeNumber } from '#platform/kernel/shapes.ts';

const defaultPageSize = 20;
export const maxPageSize = 100;

/** A cursor: what it says is checked by `readCursor`. */
const Cursor = z.string().regex(/^[A-Za-z0-9_-]{1,512}$/, 'must be the nextCursor of the previous page');

/** The query parameters of a list; extend it with a list's own filters. */
export const PageQuery = z.strictObject({
  limit: wholeNumber(1, maxPageSize, defaultPageSize).describe(
    `Page size, 1 to ${maxPageSize}; ${defaultPageSize} by default`,
  ),
  cursor: Cursor.optional().describe('The nextCursor of the previous page'),
});
export type PageQuery = z.output<typeof PageQuery>;

/** The shape of a page of these items. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z
    .object({
      items: z.array(item),
      nextCursor: z.string().nullable().describe('Where the next page begins; null on the last one'),
    })
    .meta({ id: `${item.meta()?.id}Page` });

export interface Page<Item> {
  items: Item[];
  nextCursor: string | null;
}

/** The position of the last row on a page: the values of the columns that the list is ordered by. */
export type Position = readonly (string | number)[];

/**
 * The position that a cursor of this list names, undefined without a cursor, or a refusal if the cursor is not valid for
 * this list. `shape` is the tuple of the position's values.
 */
export function readCursor<Shape extends z.ZodType<Position>>(
  list: string,
  cursor: string | undefined,
  shape: Shape,
): z.output<Shape> | undefined | Refusal {
  if (cursor === undefined) return undefined;
  const position = shape.safeParse(decode(list, cursor));
  return position.success
    ? position.data
    : refuse('unprocessable', 'The cursor is not valid for this list.', {
        fields: [{ field: 'cursor', message: 'must be the nextCursor of the previous page' }],
      });
}

/**
 * Makes a page of rows that were read with `LIMIT limit + 1`: the extra row, if there is one, means that there are more.
 */
export function toPage<Row, Item>(
  list: string,
  rows: Row[],
  limit: number,
  positionOf: (row: Row) => Position,
  toItem: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const more = rows.length > limit && last !== undefined;
  return { items: shown.map(toItem), nextCursor: more ? writeCursor(list, positionOf(last)) : null };
}

/** A page whose next one begins after a position, which need not be that of an item; without a position it is the last. */
export function nextPage<Item>(list: string, items: Item[], next: Position | undefined): Page<Item> {
  return { items, nextCursor: next === undefined ? null : writeCursor(list, next) };
}

const checksumBytes = 8;

function writeCursor(list: string, position: Position): string {
  const payload = JSON.stringify(position);
  return Buffer.concat([checksum(list, payload), Buffer.from(payload)]).toString('base64url');
}

/** The content of a cursor, or undefined unless `writeCursor` wrote it for this list. */
function decode(list: string, cursor: string): unknown {
  const bytes = Buffer.from(cursor, 'base64url');
  if (bytes.toString('base64url') !== cursor) return undefined;
  const payload = bytes.subarray(checksumBytes).toString('utf8');
  if (!checksum(list, payload).equals(bytes.subarray(0, checksumBytes))) return undefined;
  try {
    return JSON.parse(payload);
  } catch {
    return undefined;
  }
}

function checksum(list: string, payload: string): Buffer {
  return createHash('sha256').update(`${list}\0${payload}`).digest().subarray(0, checksumBytes);
}
