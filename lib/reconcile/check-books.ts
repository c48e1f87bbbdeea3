/**
 * The books: MySQL against itself. Differences here are never repaired automatically; an operator must investigate.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { idsOfSale } from '#reservation/reservation-id.ts';
import type { Drift, DriftKind } from './drift.ts';

/** MySQL against itself: stock, reservations, waitlist and ledger, in one statement and so from one snapshot. */
export async function checkBooks({ db }: Needs<'db'>, saleId: SaleId): Promise<Drift[]> {
  const id = toBytes(saleId);
  const of = (what: string, table: string, where: string) =>
    `(SELECT COALESCE(${what}, 0) FROM ${table} WHERE ${where})`;
  const range = `id > ? AND id <= ? AND sale_id = ?`;
  const { after, last } = idsOfSale(saleId);
  const subjects = 'subject_id > ? AND subject_id <= ? AND sale_id = ?';
  const [row] = await db.rows<Record<string, string | number>>(
    `SELECT allotment, available, allocated, sold, waitlisted,
       ${of('SUM(units)', 'reservations', `${range} AND state = 'allocated'`)} AS allocatedUnits,
       ${of('SUM(units)', 'reservations', `${range} AND state = 'purchased'`)} AS purchasedUnits,
       ${of('COUNT(*)', 'reservations', `${range} AND state = 'waitlisted'`)} AS waiting,
       ${of("SUM(IF(kind = 'ADJUST', units, 0))", 'ledger', subjects)} AS adjusted,
       ${of("SUM(CASE kind WHEN 'ALLOCATE' THEN units WHEN 'RELEASE' THEN -units ELSE 0 END)", 'ledger', subjects)} AS heldByLedger
     FROM sales WHERE id = ?`,
    [...Array.from({ length: 5 }, () => [after, last, id]).flat(), id],
  );
  if (!row) return [];
  const value = (name: string) => Number(row[name]);
  const drift = (kind: DriftKind, what: string, expected: number, found: number, likelyCause: string): Drift[] =>
    expected === found
      ? []
      : [{ saleId, kind, what, expected: `${expected}`, found: `${found}`, likelyCause, repaired: false }];
  const byHand = 'rows were changed outside Holdfast; pause the sale until this is investigated';
  return [
    ...drift('books', 'allocated', value('allocatedUnits'), value('allocated'), byHand),
    ...drift('books', 'sold', value('purchasedUnits'), value('sold'), byHand),
    ...drift('books', 'waitlisted', value('waiting'), value('waitlisted'), byHand),
    ...drift('ledger', 'allotment', value('adjusted'), value('allotment'), byHand),
    ...drift('ledger', 'held', value('heldByLedger'), value('allocated') + value('sold'), byHand),
  ];
}
