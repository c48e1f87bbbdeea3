/**
 * Cancelling: a customer gives a reservation back, and its units go to the waitlist in the same transaction.
 *
 * Invariant I3: an undecided request can be cancelled too. Cancelling is its decision then: it writes the reservation's row,
 * and the message finds the request decided.
 */

import { changeEvents, recordEvents } from '#events/outbox.ts';
import { type Committed, nothingChanged, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { lockSales } from '#sale/sale.store.ts';
import { mayMove } from '#state/reservation-state.ts';
import { firstVersion } from './decide.ts';
import { getDecidedReservation, getReservation, type ReadNeeds } from './read.ts';
import { endAndOffer } from './release.ts';
import { leastOf, type ReservationView } from './reservation.shapes.ts';
import {
  AlreadyDecided,
  asRequested,
  type DecidedReservation,
  insertDecided,
  lockReservations,
  type ReservationRow,
  readHoldings,
} from './reservation.store.ts';

/** What cancelling needs. */
export type CancelNeeds = WriteNeeds & ReadNeeds;

/** How often cancelling an undecided request is tried; a try fails if another decision about its customer was faster. */
const attempts = 4;

/**
 * Cancels a reservation for its owner, whether it is decided or not; `receipt` is the one of its status URL. Cancelling
 * twice is once. Refuses with `not_found` for another customer's, `status_unknown` if it cannot be told whether there is
 * one, `already_resolved` when nothing is left to cancel, `purchase_in_progress` while it is being paid, and `conflict` if
 * others kept deciding about its customer.
 */
export async function cancelReservation(
  deps: CancelNeeds,
  customerId: CustomerId,
  reservationId: ReservationId,
  receipt?: string,
): Promise<ReservationView | Refusal> {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    // A mirror that lags must neither refuse what MySQL has decided, nor show an older state.
    const decided = await getDecidedReservation(deps, customerId, reservationId);
    const known = isRefusal(decided) ? await getReservation(deps, customerId, reservationId, receipt) : decided;
    if (isRefusal(known)) return known;
    const cancelled = await (known.state === 'requested'
      ? cancelUndecided(deps, customerId, known)
      : cancelDecided(deps, customerId, known.saleId, reservationId));
    if (isRefusal(cancelled)) return cancelled;
    if (cancelled !== 'decided meanwhile') return getDecidedReservation(deps, customerId, reservationId);
  }
  return refuse('conflict', 'It was not cancelled; try again in a moment.');
}

/** The transaction: decides an undecided request by cancelling it, unless it has been decided by now. */
export async function cancelUndecided(
  deps: WriteNeeds,
  customerId: CustomerId,
  requested: ReservationView,
): Promise<Committed | Refusal | 'decided meanwhile'> {
  try {
    return await writeThrough(deps, (tx, nowMs) => recordCancelled(tx, customerId, requested, nowMs));
  } catch (error) {
    if (error instanceof AlreadyDecided) return 'decided meanwhile';
    throw error;
  }
}

/**
 * Writes the row of a request that is cancelled before its decision. The sale is locked, so that everything a worker has
 * read under lock stays true.
 */
async function recordCancelled(
  tx: Tx,
  customerId: CustomerId,
  { reservationId, saleId, quantity, fill, ticket, acceptedAt }: ReservationView,
  nowMs: number,
): Promise<Committed | Refusal> {
  const sale = (await lockSales(tx, [saleId])).get(saleId);
  if (!sale) return refuse('not_found', 'There is no such sale.');
  const held = (await readHoldings(tx, [saleId], [customerId])).get(saleId)?.get(customerId);
  const acceptedAtMs = acceptedAt === null ? nowMs : Date.parse(acceptedAt);
  const row: DecidedReservation = {
    reservationId,
    saleId,
    customerId,
    ticket: ticket ?? acceptedAtMs * 1000,
    quantity,
    atLeast: leastOf({ quantity, fill }),
    state: 'cancelled',
    units: 0,
    reason: null,
    deadlineMs: null,
    purchaseId: null,
    version: firstVersion,
    acceptedAtMs,
    decidedAtMs: nowMs,
    ...asRequested,
    nth: held?.reservations ?? 0,
  };
  await insertDecided(tx, [row]);
  const { state: to, units, version } = row;
  const change = { reservationId, saleId, customerId, from: 'requested', to, units, quantity, version } as const;
  const events = changeEvents([{ ...change, ticket: row.ticket }], [], false, nowMs);
  await recordEvents(tx, events, nowMs);
  return { stocks: [sale], reservations: [row], events };
}

/** The transaction: cancels a reservation that is decided, and offers its units. */
export function cancelDecided(
  deps: WriteNeeds,
  customerId: CustomerId,
  saleId: SaleId,
  reservationId: ReservationId,
): Promise<Committed | Refusal> {
  return writeThrough(deps, async (tx, nowMs): Promise<Committed | Refusal> => {
    const sale = (await lockSales(tx, [saleId])).get(saleId);
    const [row] = await lockReservations(tx, [reservationId], customerId);
    if (!sale || !row) return refuse('not_found', 'You have no such reservation.');
    const verdict = judgeCancellation(row);
    if (verdict !== 'cancel') return verdict === 'cancelled already' ? nothingChanged : verdict;
    return endAndOffer(tx, sale, [row], 'cancelled', null, nowMs);
  });
}

/** Whether a reservation can be cancelled, or why not. Pure. */
export function judgeCancellation(row: ReservationRow): 'cancel' | 'cancelled already' | Refusal {
  if (row.state === 'cancelled') return 'cancelled already';
  if (!mayMove(row.state, 'cancelled')) return refuse('already_resolved', `The reservation is ${row.state}.`);
  if (row.purchaseId !== null) return refuse('purchase_in_progress', 'The reservation is being paid for.');
  return 'cancel';
}
