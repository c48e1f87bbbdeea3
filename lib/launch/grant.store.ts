/**
 * The store of grants: the only code that writes `grants`, and it only adds.
 */
import { type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';

/** What an operator gave out of turn, and why. */
export interface Grant {
  readonly reservationId: ReservationId;
  readonly saleId: SaleId;
  /** Added to the sale for it. */
  readonly units: number;
  readonly reason: string;
}

/** Records a grant. Throws if the reservation was granted before. */
export async function insertGrant(tx: Tx, grant: Grant, nowMs: number): Promise<void> {
  const { reservationId, saleId, units, reason } = grant;
  await tx.change('INSERT INTO grants (reservation_id, sale_id, units, reason, granted_at_ms) VALUES (?)', [
    [toBytes(reservationId), toBytes(saleId), units, reason, nowMs],
  ]);
}
