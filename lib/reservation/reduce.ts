/**
 * Reducing: a customer takes fewer units than were asked for. The difference goes to the line in the same transaction; a
 * customer who waits keeps the place, and is served at once if that is now possible.
 *
 * Invariants. I11: waiters are served in ticket order, in the transaction that lowers the demand. I3: the units that are
 * given back become a part of their own (`split.ts`). The quantity is set, not subtracted from, so repeating a call changes
 * nothing.
 */
import { type Committed, nothingChanged, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { recordMovements } from '#sale/ledger.store.ts';
import { lockSales, type SaleRow } from '#sale/sale.store.ts';
import { deadlineAtMs } from '#sale/sale-clock.ts';
import { getDecidedReservation, getReservation, type ReadNeeds } from './read.ts';
import { type Moved, offerAndMove } from './release.ts';
import type { ReservationView } from './reservation.shapes.ts';
import { lockReservations, type ReservationRow, shrinkReservation } from './reservation.store.ts';
import { shrunk, splitAfter, writeSplit } from './split.ts';

/** What reducing needs. */
export type ReduceNeeds = WriteNeeds & ReadNeeds;

/** After how long a decision is likely to have come. */
const askAgainAfterSeconds = 1;

/**
 * Sets the quantity of a customer's reservation to a lower one; the minimum that is accepted falls with it. The same
 * quantity again changes nothing. `receipt` is the one of its status URL. Refuses with `not_found` for another customer's,
 * `status_unknown` if it cannot be told whether there is one, `not_decided_yet` before its decision, `cannot_grow` for a
 * higher quantity, `purchase_in_progress` while it is being paid for, and `already_resolved` when it is bought or over.
 */
export async function reduceReservation(
  deps: ReduceNeeds,
  customerId: CustomerId,
  reservationId: ReservationId,
  quantity: number,
  receipt?: string,
): Promise<ReservationView | Refusal> {
  const decided = await getDecidedReservation(deps, customerId, reservationId);
  const known = isRefusal(decided) ? await getReservation(deps, customerId, reservationId, receipt) : decided;
  if (isRefusal(known)) return known;
  if (known.state === 'requested') {
    // Deciding a smaller request now would let it overtake earlier ones.
    return refuse('not_decided_yet', 'It can be reduced once it has been decided, or cancelled now.', {
      retryAfterSeconds: askAgainAfterSeconds,
    });
  }
  const reduced = await reduceDecided(deps, customerId, known.saleId, reservationId, quantity);
  return isRefusal(reduced) ? reduced : getDecidedReservation(deps, customerId, reservationId);
}

/** The transaction: reduces a decided reservation, and offers what it gives back. */
export function reduceDecided(
  deps: WriteNeeds,
  customerId: CustomerId,
  saleId: SaleId,
  reservationId: ReservationId,
  quantity: number,
): Promise<Committed | Refusal> {
  return writeThrough(deps, async (tx, nowMs): Promise<Committed | Refusal> => {
    const sale = (await lockSales(tx, [saleId])).get(saleId);
    const [row] = await lockReservations(tx, [reservationId], customerId);
    if (!sale || !row) return refuse('not_found', 'You have no such reservation.');
    const verdict = judgeReduction(row, quantity);
    if (verdict !== 'reduce') return verdict === 'nothing to reduce' ? nothingChanged : verdict;
    return reduceAndOffer(tx, sale, row, quantity, nowMs);
  });
}

/** Whether a reservation can be reduced to this quantity, or why not. Pure. */
export function judgeReduction(
  row: Pick<ReservationRow, 'state' | 'quantity' | 'purchaseId'>,
  quantity: number,
): 'reduce' | 'nothing to reduce' | Refusal {
  const { state, quantity: before, purchaseId } = row;
  if (state !== 'allocated' && state !== 'waitlisted') {
    return refuse('already_resolved', `The reservation is ${state}.`, { state });
  }
  if (quantity === before) return 'nothing to reduce';
  if (purchaseId !== null) {
    return refuse('purchase_in_progress', 'The reservation is being paid for.', { purchaseId });
  }
  if (quantity > before) {
    return refuse('cannot_grow', 'A quantity can only be lowered; make another reservation for more.', {
      quantity: before,
    });
  }
  return 'reduce';
}

/**
 * Reduces a reservation to a lower quantity, and offers the units that it gives back to the line. The sale and the
 * reservation's row must be locked, and no purchase may be paying for it.
 */
export async function reduceAndOffer(
  tx: Tx,
  sale: SaleRow,
  row: ReservationRow,
  quantity: number,
  nowMs: number,
): Promise<Committed> {
  const units = Math.max(0, row.units - quantity);
  if (units === 0) {
    const whole = shrunk(row, quantity);
    await shrinkReservation(tx, { before: row, after: whole });
    return offerAndMove(tx, sale, [withTime(sale, whole)], { available: 0 }, nowMs);
  }
  const split = splitAfter(row, quantity, { state: 'cancelled', reason: 'given_back' }, nowMs);
  await writeSplit(tx, row, split);
  const { reservationId: subjectId, saleId } = split.part;
  await recordMovements(tx, [{ subjectId, kind: 'RELEASE', saleId, units }], nowMs);
  const moved = [withTime(sale, split.whole), { ...split.part, isSilent: true }];
  const after = { ...sale, available: sale.available + units };
  return offerAndMove(tx, after, moved, { available: units, allocated: -units }, nowMs);
}

/** A reservation with the deadline that its owner is told, if it holds units. In a pause no deadline runs, and none is told. */
export function withTime(sale: SaleRow, row: Moved): Moved {
  return row.state === 'allocated' && sale.status !== 'paused'
    ? { ...row, untilMs: deadlineAtMs(sale, row.deadlineMs) }
    : row;
}
