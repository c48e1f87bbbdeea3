/** The store of payment reminders: the only code that writes `due_reminders`. It decides nothing. */
import { fromBytes, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import type { DuePlace } from '#reservation/reservation.store.ts';

/** How far the holders of a sale have been reminded; undefined if none was. The sale must be locked. */
export async function readReminded(tx: Tx, saleId: SaleId): Promise<DuePlace | undefined> {
  const [row] = await tx.rows<Omit<DuePlace, 'reservationId'> & { reservationId: Buffer }>(
    `SELECT deadline_ms AS deadlineMs, at_least AS atLeast, ticket, reservation_id AS reservationId
     FROM due_reminders WHERE sale_id = ?`,
    [toBytes(saleId)],
  );
  return row && { ...row, reservationId: fromBytes(row.reservationId) };
}

/** Writes how far they have been reminded. The sale must be locked. */
export async function writeReminded(tx: Tx, saleId: SaleId, place: DuePlace, isNew: boolean): Promise<void> {
  const { deadlineMs, atLeast, ticket, reservationId } = place;
  const values = [deadlineMs, atLeast, ticket, toBytes(reservationId)];
  if (isNew) {
    await tx.change('INSERT INTO due_reminders (sale_id, deadline_ms, at_least, ticket, reservation_id) VALUES (?)', [
      [toBytes(saleId), ...values],
    ]);
  } else {
    await tx.change(
      'UPDATE due_reminders SET deadline_ms = ?, at_least = ?, ticket = ?, reservation_id = ? WHERE sale_id = ?',
      [...values, toBytes(saleId)],
    );
  }
}
