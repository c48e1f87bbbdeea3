/**
 * MySQL as the release verbs need it. Every statement that moves a reservation repeats in its WHERE the states from which
 * the move is legal, and answers with the rows that really moved.
 */
import type { StockLevel } from '#events/catalogue.ts';
import { type RecordedEvent, recordEvents } from '#events/outbox.ts';
import { fromBytes, tagBytes, toBytes } from '#platform/kernel/ids.ts';
import type { Db, Tx } from '#platform/mysql/mysql.ts';
import { lockSales, type Movement, moveStock, recordMovements, type SaleRow, type StockMove } from '#sale/stock.ts';
import { statesBefore } from '#state/reservation-state.ts';
import type { Offer, Waiting } from './offer.ts';
import { type ReservationRow, reservationColumns, type StoredReservation, toReservation } from './store.ts';

/** What the release verbs do inside one transaction. The sale is held first, so that they never deadlock each other. */
export interface InventoryTx {
  /** The sale, held until the transaction ends. */
  holdSale(saleId: string): Promise<SaleRow | undefined>;
  /** Reservations, held until the transaction ends, in order of their ids. */
  reservations(reservationIds: string[]): Promise<ReservationRow[]>;
  /** Allocated reservations that no purchase is paying for, from the one after `afterId` on, in order of their ids. */
  allocatedAfter(saleId: string, afterId: string, limit: number): Promise<ReservationRow[]>;
  /** Allocated reservations whose offer ended by `nowMs` and that no purchase is paying for. */
  offersEnded(saleId: string, nowMs: number, limit: number): Promise<ReservationRow[]>;
  /** Who waits, in ticket order. */
  waiting(saleId: string, limit: number): Promise<Waiting[]>;
  /** Ends reservations. They must have been read in this transaction, and leave the waitlist. */
  end(rows: ReservationRow[], to: 'cancelled' | 'expired', reason: string | null): Promise<void>;
  /** Turns places on the waitlist into allocations with a deadline. */
  offer(offers: Offer[]): Promise<void>;
  recordMovements(movements: Movement[], nowMs: number): Promise<void>;
  recordEvents(events: RecordedEvent[], nowMs: number): Promise<void>;
  moveStock(move: StockMove): Promise<StockLevel>;
}

export interface InventoryStore {
  transaction<T>(work: (tx: InventoryTx) => Promise<T>): Promise<T>;
}

/** Thrown when fewer rows moved than were read: the transaction is undone, and the next try reads again. */
export class MovedElsewhere extends Error {
  constructor(wanted: number, moved: number) {
    super(`${wanted - moved} of ${wanted} reservations had moved already`);
    this.name = 'MovedElsewhere';
  }
}

/** What must hold of a reservation that ends, as SQL, beside its state. */
export const endGuards = {
  /** No purchase is paying for it: capture and expiry compete on its row. */
  notBeingPaid: 'purchase_id IS NULL',
};

/** The store over MySQL. */
export function inventoryStore(db: Db): InventoryStore {
  return { transaction: (work) => db.transaction((tx) => work(inventoryTx(tx))) };
}

/** The same verbs inside a transaction that somebody else has opened. */
export function inventoryTx(tx: Tx): InventoryTx {
  return {
    holdSale: async (saleId) => (await lockSales(tx, [saleId])).get(saleId),
    reservations: async (reservationIds) =>
      reservationIds.length === 0 ? [] : hold(tx, 'WHERE id IN (?) ORDER BY id', [reservationIds.map(toBytes)]),
    allocatedAfter: (saleId, afterId, limit) =>
      hold(
        tx,
        `WHERE id > ? AND id <= ? AND sale_id = ? AND state = 'allocated' AND ${endGuards.notBeingPaid}
         ORDER BY id LIMIT ?`,
        [toBytes(afterId), lastIdOf(saleId), toBytes(saleId), limit],
      ),
    offersEnded: (saleId, nowMs, limit) => holdEndedOffers(tx, saleId, nowMs, limit),
    waiting: (saleId, limit) => readWaiting(tx, saleId, limit),
    end: (rows, to, reason) => end(tx, rows, to, reason),
    offer: (offers) => offer(tx, offers),
    recordMovements: (movements, nowMs) => recordMovements(tx, movements, nowMs),
    recordEvents: (events, nowMs) => recordEvents(tx, events, nowMs),
    moveStock: async (move) => {
      const [level] = await moveStock(tx, [move]);
      if (!level) throw new Error('a moved sale has no stock');
      return level;
    },
  };
}

async function hold(tx: Tx, where: string, values: unknown[]): Promise<ReservationRow[]> {
  const text = `SELECT ${reservationColumns} FROM reservations ${where} FOR UPDATE`;
  return (await tx.rows<StoredReservation>(text, values)).map(toReservation);
}

/** Allocated reservations whose offer ended by `nowMs` and that no purchase is paying for, held. */
export function holdEndedOffers(tx: Tx, saleId: string, nowMs: number, limit: number): Promise<ReservationRow[]> {
  return hold(
    tx,
    `WHERE id IN (SELECT reservation_id FROM waitlist WHERE sale_id = ? AND deadline_ms <= ?)
       AND state = 'allocated' AND ${endGuards.notBeingPaid} ORDER BY id LIMIT ?`,
    [toBytes(saleId), nowMs, limit],
  );
}

/** The highest id a reservation of this sale can have: its tag, then nothing but ones. */
export function lastIdOf(saleId: string): Buffer {
  return Buffer.concat([toBytes(saleId).subarray(-tagBytes), Buffer.alloc(16 - tagBytes, 0xff)]);
}

/** The id before the first one a reservation of this sale can have. */
export function firstIdOf(saleId: string): string {
  return fromBytes(Buffer.concat([toBytes(saleId).subarray(-tagBytes), Buffer.alloc(16 - tagBytes)]));
}

async function readWaiting(tx: Tx, saleId: string, limit: number): Promise<Waiting[]> {
  const rows = await tx.rows<
    Omit<Waiting, 'reservationId' | 'customerId' | 'saleId'> & { id: Buffer; customerId: Buffer }
  >(
    `SELECT r.id, r.customer_id AS customerId, r.ticket, r.quantity, r.at_least AS atLeast, r.version
     FROM waitlist w JOIN reservations r ON r.id = w.reservation_id
     WHERE w.sale_id = ? AND w.deadline_ms IS NULL AND r.state = 'waitlisted' ORDER BY w.ticket, w.reservation_id LIMIT ?`,
    [toBytes(saleId), limit],
  );
  return rows.map(({ id, customerId, ...row }) => ({
    ...row,
    saleId,
    reservationId: fromBytes(id),
    customerId: fromBytes(customerId),
  }));
}

async function end(tx: Tx, rows: ReservationRow[], to: 'cancelled' | 'expired', reason: string | null): Promise<void> {
  if (rows.length === 0) return;
  const ids = rows.map((row) => toBytes(row.reservationId));
  const moved = await tx.change(
    `UPDATE reservations SET state = ?, reason = ?, version = version + 1
     WHERE id IN (?) AND state IN (?) AND ${endGuards.notBeingPaid}`,
    [to, reason, ids, statesBefore(to)],
  );
  if (moved !== rows.length) throw new MovedElsewhere(rows.length, moved);
  await leaveWaitlist(tx, rows);
}

/** Takes reservations off the waitlist, whether they waited there or had an offer. */
export async function leaveWaitlist(
  tx: Tx,
  rows: Pick<ReservationRow, 'saleId' | 'ticket' | 'reservationId'>[],
): Promise<void> {
  if (rows.length === 0) return;
  const places = placesOf(rows);
  await tx.change(`DELETE FROM waitlist WHERE ${places.where}`, places.values);
}

/**
 * Names places on the waitlist one by one. `(a, b, c) IN (…)` with a single place makes MariaDB scan the table, and a
 * scan waits for every row that somebody else holds: two sales that have nothing to do with each other would deadlock.
 */
function placesOf(rows: readonly Pick<ReservationRow, 'saleId' | 'ticket' | 'reservationId'>[]) {
  return {
    where: rows.map(() => '(sale_id = ? AND ticket = ? AND reservation_id = ?)').join(' OR '),
    values: rows.flatMap((row) => [toBytes(row.saleId), row.ticket, toBytes(row.reservationId)]),
  };
}

async function offer(tx: Tx, offers: Offer[]): Promise<void> {
  if (offers.length === 0) return;
  const row = 'SELECT ? AS id, ? AS units, ? AS deadline_ms';
  const values = offers.flatMap(({ waiting, units, deadlineMs }) => [
    toBytes(waiting.reservationId),
    units,
    deadlineMs,
  ]);
  const moved = await tx.change(
    `UPDATE (${offers.map(() => row).join(' UNION ALL ')}) o STRAIGHT_JOIN reservations r ON r.id = o.id
     SET r.state = 'allocated', r.units = o.units, r.deadline_ms = o.deadline_ms, r.version = r.version + 1
     WHERE r.state = 'waitlisted'`,
    values,
  );
  if (moved !== offers.length) throw new MovedElsewhere(offers.length, moved);
  const [first] = offers;
  const places = placesOf(offers.map(({ waiting }) => waiting));
  await tx.change(`UPDATE waitlist SET deadline_ms = ? WHERE ${places.where}`, [first?.deadlineMs, ...places.values]);
}
