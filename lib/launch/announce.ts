/**
 * What a sale has to say to those who hold or await its units: that the window opened or closes soon, that its times have
 * moved, that it was paused or goes on. Recorded in the transaction that makes it true.
 *
 * Invariant I12: an announcement belongs to the version that the sale got with it. What is announced again, for new times,
 * is therefore another notice, and an event that is delivered again is the same one.
 */
import type { EventDetail } from '#events/catalog.ts';
import { changesPerEvent, newEvent, type RecordedEvent } from '#events/outbox.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { pagesOfConcerned, pagesOfHolders } from '#reservation/reservation.store.ts';
import type { SaleRow } from '#sale/sale.store.ts';
import { deadlineAtMs } from '#sale/sale-clock.ts';

export type Announcement = EventDetail<'reservations.reminded'>['reason'];

/**
 * The events of an announcement; `sale` is as it will be after the transaction. The opening and the close are told to those
 * who can buy, a change to everybody who holds units or waits.
 */
export async function announcementEvents(
  tx: Tx,
  sale: SaleRow,
  reason: Announcement,
  nowMs: number,
): Promise<RecordedEvent[]> {
  const { saleId, version, reserveClosesAtMs, purchaseOpensAtMs, purchaseClosesAtMs } = sale;
  const times = { reserveClosesAtMs, purchaseOpensAtMs, purchaseClosesAtMs };
  const isReminder = reason === 'purchase-opened' || reason === 'closing-soon';
  const pages = isReminder ? pagesOfHolders : pagesOfConcerned;
  const events: RecordedEvent[] = [];
  for await (const rows of pages(tx, saleId, changesPerEvent)) {
    const recipients = rows.map((row) => ({
      reservationId: row.reservationId,
      customerId: row.customerId,
      units: row.units,
      version: row.version,
      ...(row.state === 'allocated' ? { deadlineMs: deadlineAtMs(sale, row.deadlineMs) } : {}),
    }));
    events.push(newEvent('reservations.reminded', { saleId, reason, round: version, times, recipients }, nowMs));
  }
  return events;
}
