/** The store of cancellations: the only code that writes `cancellations`. It decides nothing. */
import { fromBytes, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { refundPolicies } from './cancellation.table.ts';

export type RefundPolicy = (typeof refundPolicies)[number];

/** A sale that was called off. */
export interface Cancellation {
  readonly saleId: SaleId;
  readonly refunds: RefundPolicy;
  readonly calledOffAtMs: number;
  /** The last reservation that the sweep has seen. */
  readonly afterId: ReservationId | null;
  /** When the sweep had seen every buyer; null until then. */
  readonly sweptAtMs: number | null;
}

/** How a sale was called off, or undefined if it was not. */
export function findCancellation(sql: Sql, saleId: SaleId): Promise<Cancellation | undefined> {
  return select(sql, saleId, '');
}

/** The same, with the row locked until the transaction ends. */
export function lockCancellation(tx: Tx, saleId: SaleId): Promise<Cancellation | undefined> {
  return select(tx, saleId, 'FOR UPDATE');
}

async function select(sql: Sql, saleId: SaleId, suffix: string): Promise<Cancellation | undefined> {
  const [row] = await sql.rows<Omit<Cancellation, 'saleId' | 'afterId'> & { afterId: Buffer | null }>(
    `SELECT refunds, called_off_at_ms AS calledOffAtMs, after_id AS afterId, swept_at_ms AS sweptAtMs
     FROM cancellations WHERE sale_id = ? ${suffix}`,
    [toBytes(saleId)],
  );
  return row && { ...row, saleId, afterId: row.afterId && fromBytes(row.afterId) };
}

/** The sales whose sweep is not over. */
export async function listUnsweptSaleIds(sql: Sql): Promise<SaleId[]> {
  const rows = await sql.rows<{ saleId: Buffer }>(
    'SELECT sale_id AS saleId FROM cancellations WHERE swept_at_ms IS NULL ORDER BY called_off_at_ms',
  );
  return rows.map((row) => fromBytes(row.saleId));
}

/** Writes that a sale is called off. The sale must be locked, and have no such row. */
export async function insertCancellation(tx: Tx, cancellation: Cancellation): Promise<void> {
  const { saleId, refunds, calledOffAtMs, afterId, sweptAtMs } = cancellation;
  await tx.change('INSERT INTO cancellations (sale_id, refunds, called_off_at_ms, after_id, swept_at_ms) VALUES (?)', [
    [toBytes(saleId), refunds, calledOffAtMs, afterId && toBytes(afterId), sweptAtMs],
  ]);
}

/** Writes how far the sweep has come, and for what. The row must be locked. */
export async function updateCancellation(tx: Tx, cancellation: Cancellation): Promise<void> {
  const { saleId, refunds, afterId, sweptAtMs } = cancellation;
  await tx.change('UPDATE cancellations SET refunds = ?, after_id = ?, swept_at_ms = ? WHERE sale_id = ?', [
    refunds,
    afterId && toBytes(afterId),
    sweptAtMs,
    toBytes(saleId),
  ]);
}
