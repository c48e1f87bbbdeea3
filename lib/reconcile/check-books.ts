/**
 * The books: MySQL against itself. Differences here are never repaired automatically; an operator must investigate.
 *
 * What is compared must be from one snapshot, and no statement may run into its time limit or lock rows. A sale of ordinary
 * size is added up by one statement; a large one in pages within one snapshot, which takes seconds for millions of rows. If
 * one step is too short, the next continues with a snapshot of its own: the sums still belong together if the sale's version
 * has not changed, because every move raises it.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { fromBytes, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { beginPaced, withTimeToSpare } from '#platform/resilience/pace.ts';
import { idsOfSale } from '#reservation/reservation-id.ts';
import type { Drift, DriftKind } from './drift.ts';
import type { BooksPlace, Sums } from './progress.ts';

type Reads = Pick<Sql, 'rows'>;

/** The counters of a sale's row. */
interface Counters {
  readonly version: number;
  readonly allotment: number;
  readonly allocated: number;
  readonly sold: number;
  readonly waitlisted: number;
}

/** What is added up of a table's rows. */
const summed = {
  reservations: {
    key: 'id',
    sums: {
      allocatedUnits: `SUM(IF(state = 'allocated', units, 0))`,
      purchasedUnits: `SUM(IF(state = 'purchased', units, 0))`,
      waiting: `SUM(IF(state = 'waitlisted', 1, 0))`,
    },
  },
  ledger: {
    key: 'subject_id',
    sums: {
      adjusted: `SUM(IF(kind = 'ADJUST', units, 0))`,
      heldByLedger: `SUM(CASE kind WHEN 'ALLOCATE' THEN units WHEN 'RELEASE' THEN -units ELSE 0 END)`,
    },
  },
} as const;

const nothing: Sums = { allocatedUnits: 0, purchasedUnits: 0, waiting: 0, adjusted: 0, heldByLedger: 0 };

/** How often adding up a large sale starts again before it is left to the next run. */
const restartsAtMost = 3;

/** The books of a sale of ordinary size: stock, reservations, waitlist and ledger, in one statement. */
export async function checkBooks({ db }: Needs<'db'>, saleId: SaleId): Promise<Drift[]> {
  const id = toBytes(saleId);
  const { after, last } = idsOfSale(saleId);
  const columns = Object.entries(summed).flatMap(([table, { key, sums }]) =>
    Object.entries(sums).map(
      ([name, sum]) =>
        `(SELECT COALESCE(${sum}, 0) FROM ${table} WHERE ${key} > ? AND ${key} <= ? AND sale_id = ?) AS ${name}`,
    ),
  );
  const [row] = await db.rows<Record<keyof Counters | keyof Sums, string | number>>(
    `SELECT version, allotment, allocated, sold, waitlisted, ${columns.join(', ')} FROM sales WHERE id = ?`,
    [...columns.flatMap(() => [after, last, id]), id],
  );
  if (!row) return [];
  const numbers = Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Number(value)]));
  return compare(saleId, numbers as unknown as Counters, numbers as unknown as Sums);
}

/** The result of adding up a large sale: the differences, or where to continue. Neither if the sale changed meanwhile. */
export type CheckedBooks = { readonly drifts: Drift[] } | { readonly next: BooksPlace } | 'moving';

/**
 * Adds up the books of a large sale from `place` on until they are complete or the time is up; at least one page, so that
 * every call makes progress.
 */
export async function checkLargeBooks(
  { db, clock }: Needs<'db' | 'clock'>,
  saleId: SaleId,
  place: BooksPlace | null,
  rowsPerSum: number,
  untilMs: number,
): Promise<CheckedBooks> {
  return db.snapshot(async (sql) => {
    const [sale] = await sql.rows<Counters>(
      'SELECT version, allotment, allocated, sold, waitlisted FROM sales WHERE id = ?',
      [toBytes(saleId)],
    );
    if (!sale) return { drifts: [] };
    let at = place;
    if (!at || at.version !== sale.version) {
      const restarts = at ? at.restarts + 1 : 0;
      if (restarts > restartsAtMost) return 'moving';
      at = { version: sale.version, table: 'reservations', afterId: null, sums: nothing, restarts };
    }
    const rest = beginPaced(clock, withTimeToSpare);
    do {
      const page = await addPage(sql, saleId, at, rowsPerSum);
      if (page.lastId !== null) at = { ...at, afterId: page.lastId, sums: page.sums };
      else if (at.table === 'reservations') at = { ...at, table: 'ledger', afterId: null, sums: page.sums };
      else return { drifts: compare(saleId, sale, page.sums) };
      await rest(untilMs);
    } while (clock() < untilMs);
    return { next: at };
  });
}

/** Adds a page of rows to the sums; `lastId` is null after the last page. */
async function addPage(
  sql: Reads,
  saleId: SaleId,
  { table, afterId, sums }: BooksPlace,
  rowsPerSum: number,
): Promise<{ sums: Sums; lastId: string | null }> {
  const { key, sums: columns } = summed[table];
  const range = idsOfSale(saleId);
  const after = afterId === null ? range.after : toBytes(afterId);
  const id = toBytes(saleId);
  const [end] = await sql.rows<{ id: Buffer }>(
    `SELECT ${key} AS id FROM ${table} WHERE ${key} > ? AND ${key} <= ? ORDER BY ${key} LIMIT 1 OFFSET ?`,
    [after, range.last, rowsPerSum - 1],
  );
  const names = Object.entries(columns).map(([name, sum]) => `COALESCE(${sum}, 0) AS ${name}`);
  const [row] = await sql.rows<Partial<Record<keyof Sums, string | number>>>(
    `SELECT ${names.join(', ')} FROM ${table} WHERE ${key} > ? AND ${key} <= ? AND sale_id = ?`,
    [after, end?.id ?? range.last, id],
  );
  const added = Object.entries(row ?? {}).map(([name, value]) => [name, sums[name as keyof Sums] + Number(value)]);
  return { sums: { ...sums, ...Object.fromEntries(added) }, lastId: end ? fromBytes(end.id) : null };
}

function compare(saleId: SaleId, sale: Counters, sums: Sums): Drift[] {
  const likelyCause = 'rows were changed outside Holdfast; pause the sale until this is investigated';
  const drift = (kind: DriftKind, what: string, expected: number, found: number): Drift[] =>
    expected === found
      ? []
      : [{ saleId, kind, what, expected: `${expected}`, found: `${found}`, likelyCause, repaired: false }];
  return [
    ...drift('books', 'allocated', sums.allocatedUnits, sale.allocated),
    ...drift('books', 'sold', sums.purchasedUnits, sale.sold),
    ...drift('books', 'waitlisted', sums.waiting, sale.waitlisted),
    ...drift('ledger', 'allotment', sums.adjusted, sale.allotment),
    ...drift('ledger', 'held', sums.heldByLedger, sale.allocated + sale.sold),
  ];
}
