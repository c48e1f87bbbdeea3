/**
 * Releasing units: a customer cancels, an offer or the purchase window ends, a sale is cancelled, stock is added. The
 * released units are offered to the waitlist in the same transaction.
 *
 * Invariants I1 and I3: the caller has locked the sale; each reservation ends at most once, its movement is written into
 * the ledger, and stock is moved by exactly their sum. A reservation that a purchase is paying for is left alone: capture
 * and expiry compete for its row, and the second finds that it has moved. Called by `cancel.ts`, `expire.ts` and
 * `launch/adjust-stock.ts`.
 */
import type { ReservationChange } from '#events/changes.ts';
import { changeEvents, recordEvents } from '#events/outbox.ts';
import type { MirroredReservation } from '#mirror/claims.ts';
import { type Committed, nothingChanged } from '#mirror/write-through.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { recordMovements } from '#sale/ledger.store.ts';
import { moveStock, type SaleRow } from '#sale/sale.store.ts';
import { decideOffers } from './offer.ts';
import { endReservations, makeOffers, type Offer, type ReservationRow, readWaiting } from './reservation.store.ts';

/** How many reservations one transaction ends or makes offers to, so that none locks a sale for long. */
export const rowsPerTransaction = 500;

/**
 * Ends reservations of a locked sale, and offers the units that are then available to the waitlist. The rows must have
 * been locked in this transaction.
 */
export async function endAndOffer(
  tx: Tx,
  sale: SaleRow,
  rows: readonly ReservationRow[],
  to: 'cancelled' | 'expired',
  reason: string | null,
  nowMs: number,
): Promise<Committed> {
  const held = rows.filter((row) => row.state === 'allocated');
  const units = held.reduce((sum, row) => sum + row.units, 0);
  await endReservations(tx, rows, to, reason);
  await recordMovements(
    tx,
    held.map((row) => ({ subjectId: row.reservationId, kind: 'RELEASE', saleId: row.saleId, units: row.units })),
    nowMs,
  );
  const after = {
    ...sale,
    available: sale.available + units,
    waitlisted: sale.waitlisted - (rows.length - held.length),
  };
  const ended = rows.map((row) => ({ ...row, state: to, version: row.version + 1, from: row.state, reason }));
  const deltas = { available: units, allocated: -units, waitlisted: held.length - rows.length };
  return offerAndMove(tx, after, ended, deltas, nowMs);
}

type Ended = ReservationRow & { readonly from: ReservationRow['state'] };
type Deltas = { allotment?: number; available: number; allocated?: number; waitlisted?: number };

/**
 * Offers the available units of a locked sale, then moves its stock once by the total of all changes. `sale` has the stock
 * before the offers, and `deltas` are the changes so far, which are not written yet.
 */
export async function offerAndMove(
  tx: Tx,
  sale: SaleRow,
  ended: readonly Ended[],
  deltas: Deltas,
  nowMs: number,
): Promise<Committed> {
  const waiting =
    sale.available > 0 && sale.waitlisted > 0 ? await readWaiting(tx, sale.saleId, rowsPerTransaction) : [];
  const offers = decideOffers(sale, sale.available, waiting, nowMs);
  const offered = offers.reduce((sum, one) => sum + one.units, 0);
  const changed = Object.values(deltas).some((delta) => delta !== 0) || offers.length > 0 || ended.length > 0;
  if (!changed) return nothingChanged;
  await makeOffers(tx, offers);
  await recordMovements(
    tx,
    offers.map(({ waiting: one, units }) => ({
      subjectId: one.reservationId,
      kind: 'ALLOCATE',
      saleId: sale.saleId,
      units,
    })),
    nowMs,
  );
  const stocks = await moveStock(tx, [
    {
      saleId: sale.saleId,
      allotment: deltas.allotment ?? 0,
      available: deltas.available - offered,
      allocated: (deltas.allocated ?? 0) + offered,
      waitlisted: (deltas.waitlisted ?? 0) - offers.length,
    },
  ]);
  const changes = [...ended.map(endedChange), ...offers.map(offeredChange)];
  // More may be waiting than one transaction makes offers to; the consumer of the release event continues.
  const released = offers.length > 0 && stocks.some((stock) => stock.available > 0 && stock.waitlisted > 0);
  const events = changeEvents(changes, stocks, released, nowMs);
  await recordEvents(tx, events, nowMs);
  return { stocks, reservations: [...ended, ...offers.map(offeredRow)], events };
}

function endedChange(row: Ended): ReservationChange {
  const { reservationId, saleId, customerId, units, quantity, ticket, version, reason } = row;
  const change = { reservationId, saleId, customerId, from: row.from, to: row.state, units, quantity, ticket, version };
  return reason === null ? change : { ...change, reason };
}

function offeredChange({ waiting, units, deadlineMs }: Offer): ReservationChange {
  const { reservationId, saleId, customerId, quantity, ticket, version } = waiting;
  const moved = { from: 'waitlisted', to: 'allocated', version: version + 1 } as const;
  return { reservationId, saleId, customerId, ...moved, units, quantity, ticket, deadlineMs };
}

function offeredRow({ waiting, units }: Offer): MirroredReservation {
  return { ...waiting, state: 'allocated', units, version: waiting.version + 1 };
}
