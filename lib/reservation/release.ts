/**
 * Units come back: a customer cancels or takes fewer, an offer or the purchase window ends, a purchase is refunded, a sale
 * is called off or resumed, stock is added. They are offered to the waitlist in the same transaction (invariant I11), up to
 * a number that does not lock the sale for long. Until the rest has been offered, newcomers wait (`allocate.ts`).
 *
 * Invariants I1 and I3: the caller has locked the sale; each reservation ends at most once, its movement is written into
 * the ledger, and stock is moved by exactly their sum. A reservation that a purchase is paying for is left alone, unless its
 * sale was called off: capture and expiry compete on its row, and the second finds that it has moved. Called by `cancel.ts`,
 * `reduce.ts`, `expire.ts`, `launch/adjust-stock.ts`, `launch/change-sale.ts` and `purchase/settle.ts`.
 */
import type { ReservationChange } from '#events/changes.ts';
import { changeEvents, recordEvents } from '#events/outbox.ts';
import type { MirroredReservation } from '#mirror/claims.ts';
import { type Committed, nothingChanged } from '#mirror/write-through.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { recordMovements } from '#sale/ledger.store.ts';
import { moveStock, type SaleRow } from '#sale/sale.store.ts';
import { decideOffers, mayOffer } from './offer.ts';
import {
  endReservations,
  makeOffers,
  type Offer,
  type ReservationRow,
  readFitting,
  readWaiting,
  type Waiting,
} from './reservation.store.ts';

/** How many reservations one transaction ends or makes offers to, so that none locks a sale for long. */
export const rowsPerTransaction = 125;

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
  const ended = rows.map((row): Moved => ({ ...row, state: to, version: row.version + 1, from: row.state, reason }));
  const deltas = { available: units, allocated: -units, waitlisted: held.length - rows.length };
  return offerAndMove(tx, after, ended, deltas, nowMs);
}

/** A reservation after its move, and what it was before. */
export type Moved = ReservationRow & {
  readonly from: ReservationRow['state'];
  /** Until when its units can be bought, by the wall clock, if its owner is told of it. */
  readonly untilMs?: number;
  /** True where its owner learns of it by the change of another reservation. */
  readonly isSilent?: boolean;
};
type Deltas = { allotment?: number; available: number; allocated?: number; waitlisted?: number };

/**
 * Offers the available units of a locked sale, then moves its stock once by the total of all changes. `sale` has the stock
 * before the offers, and `deltas` are the changes so far, which are not written yet.
 */
export async function offerAndMove(
  tx: Tx,
  sale: SaleRow,
  moved: readonly Moved[],
  deltas: Deltas,
  nowMs: number,
): Promise<Committed> {
  const offers = await offerToLine(tx, sale, nowMs);
  const offered = unitsOf(offers);
  const changed = Object.values(deltas).some((delta) => delta !== 0) || offers.length > 0 || moved.length > 0;
  if (!changed) return nothingChanged;
  const stocks = await moveStock(tx, [
    {
      saleId: sale.saleId,
      allotment: deltas.allotment ?? 0,
      available: deltas.available - offered,
      allocated: (deltas.allocated ?? 0) + offered,
      waitlisted: (deltas.waitlisted ?? 0) - offers.length,
    },
  ]);
  const changes = [...moved.filter(({ isSilent }) => !isSilent).map(movedChange), ...offers.map(offeredChange)];
  const events = changeEvents(changes, stocks, offers.length > 0, nowMs);
  await recordEvents(tx, events, nowMs);
  return { stocks, reservations: [...moved, ...offers.map(offeredRow)], events };
}

/**
 * Offers a locked sale's available units to the waitlist in ticket order, to as many as one transaction may serve. The
 * caller moves the stock. Consumers of the offers' events schedule their ends, and go on if more wait.
 */
export async function offerToLine(tx: Tx, sale: SaleRow, nowMs: number): Promise<Offer[]> {
  const offers = sale.waitlisted > 0 && mayOffer(sale, nowMs) ? await shareAmongLine(tx, sale, nowMs) : [];
  await makeOffers(tx, offers);
  await recordMovements(
    tx,
    offers.map(({ waiting: { reservationId: subjectId, saleId }, units }) => ({
      ...{ subjectId, saleId, units },
      kind: 'ALLOCATE' as const,
    })),
    nowMs,
  );
  return offers;
}

/**
 * Reads on as long as units are left and a waiter is found whom they serve. Each page contains only those whom the rest
 * could serve when it was read, so the first of a page always gets an offer, and no waiter is hidden behind those who cannot be
 * served. As long as a customer's cap is left, that is everybody. Of fewer units, only those are read whom they fit: a line of a
 * million who need more would be gone over each time a unit comes back, with the sale locked.
 */
async function shareAmongLine(tx: Tx, sale: SaleRow, nowMs: number): Promise<Offer[]> {
  const offers: Offer[] = [];
  let behind: Waiting | undefined;
  for (let left = sale.available; left > 0; left = sale.available - unitsOf(offers)) {
    const limit = rowsPerTransaction - offers.length;
    if (limit === 0) break;
    const fitting = left < sale.capPerCustomer ? await readFitting(tx, sale.saleId, left, limit, behind) : undefined;
    const waiting = fitting ?? (await readWaiting(tx, sale.saleId, limit, { atLeastUpTo: left, behind }));
    const page = decideOffers(sale, left, waiting, nowMs).slice(0, limit);
    offers.push(...page);
    if (fitting || page.length === 0 || waiting.length < limit) break;
    behind = waiting.at(-1);
  }
  return offers;
}

/** The units of some offers together. */
export function unitsOf(offers: readonly Offer[]): number {
  return offers.reduce((sum, one) => sum + one.units, 0);
}

/** What the event reports of a move. */
export function movedChange(row: Moved): ReservationChange {
  const { reservationId, saleId, customerId, units, quantity, ticket, version, reason, untilMs } = row;
  const change = { reservationId, saleId, customerId, from: row.from, to: row.state, units, quantity, ticket, version };
  return {
    ...change,
    ...(reason === null ? {} : { reason }),
    ...(untilMs === undefined ? {} : { deadlineMs: untilMs }),
  };
}

/** What the event reports of an offer. */
export function offeredChange({ waiting, units, deadlineMs }: Offer): ReservationChange {
  const { reservationId, saleId, customerId, quantity, ticket, version } = waiting;
  const moved = { from: 'waitlisted', to: 'allocated', version: version + 1 } as const;
  return { reservationId, saleId, customerId, ...moved, units, quantity, ticket, deadlineMs };
}

/** An offer's reservation as the mirror shows it. */
export function offeredRow({ waiting, units, storedDeadlineMs: deadlineMs }: Offer): MirroredReservation {
  return { ...waiting, state: 'allocated', units, deadlineMs, version: waiting.version + 1 };
}
