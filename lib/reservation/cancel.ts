/**
 * Cancelling: a customer cancels a reservation, and its units go to the waitlist in the same transaction.
 */

import { type Committed, nothingChanged, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { lockSales } from '#sale/sale.store.ts';
import { mayMove } from '#state/reservation-state.ts';
import { getDecidedReservation, getReservation } from './read.ts';
import { endAndOffer } from './release.ts';
import type { ReservationView } from './reservation.shapes.ts';
import { lockReservations, type ReservationRow } from './reservation.store.ts';

/**
 * Cancels a reservation for its owner. Idempotent. Refuses with `not_found` for another customer's,
 * `conflict` while it is undecided, `already_resolved` when nothing is left to cancel, and `purchase_in_progress` while it
 * is being paid.
 */
export async function cancelReservation(
  deps: WriteNeeds,
  customerId: CustomerId,
  reservationId: ReservationId,
): Promise<ReservationView | Refusal> {
  // A stale mirror must neither refuse what MySQL has decided, nor show an earlier state.
  const decided = await getDecidedReservation(deps, customerId, reservationId);
  const known = isRefusal(decided) ? await getReservation(deps, customerId, reservationId) : decided;
  if (isRefusal(known)) return known;
  if (known.state === 'requested')
    return refuse('conflict', 'The reservation has not been decided yet; try again in a moment.');
  const cancelled = await cancelDecided(deps, customerId, known.saleId, reservationId);
  return isRefusal(cancelled) ? cancelled : getDecidedReservation(deps, customerId, reservationId);
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
