/**
 * Reading reservations, as their owners see them.
 *
 * A request that is not decided yet is read from the mirror only, so that polling customers do not reach MySQL; everything
 * decided is read from MySQL. The owner is in every WHERE (invariant I10).
 *
 * Invariant I6: monotonic reads. A mirror that missed a decision would say “requested” of a reservation that was already
 * shown as decided, so what is shown from MySQL is written to the mirror first, and after a failure of Redis the mirror
 * alone is not trusted.
 */

import * as z from 'zod';
import type { MirroredStatus } from '#mirror/claims.ts';
import { type MirrorNeeds, readMirroredStatus, readUndecidedInMirror, refreshMirror } from '#mirror/mirror.ts';
import { distrustForMs, mirrorTrust } from '#mirror/mirror-trust.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { warnUnlessOutage } from '#platform/redis/outage-log.ts';
import { missesOf } from '#platform/resilience/misses.ts';
import { readStock } from '#sale/sale.store.ts';
import { readReceipt, undecidedView } from './receipt.ts';
import { fillOf, type ReservationView } from './reservation.shapes.ts';
import { listOwnReservations, type OwnReservation, readOwnReservation } from './reservation.store.ts';

/** What reading one reservation needs. */
export type ReadNeeds = MirrorNeeds & Needs<'registry'>;

/**
 * One reservation of this customer; `not_found` for everybody else's. `receipt` is the one of its status URL: with it, an
 * accepted request is never answered with `not_found`, whatever is unavailable. Without it, `status_unknown` as long as a
 * request may have been accepted that the mirror does not know; `too_many_requests` for a caller who has asked for many that
 * do not exist.
 */
export async function getReservation(
  deps: ReadNeeds,
  customerId: CustomerId,
  reservationId: ReservationId,
  receipt = '',
): Promise<ReservationView | Refusal> {
  const trust = deps.once(mirrorTrust);
  const mirrored = await readMirroredStatus(deps, reservationId, customerId).catch((error) => {
    trust.failed();
    warnUnlessOutage(error, 'reading a reservation without the mirror');
    return undefined;
  });
  const pending = mirrored?.state === 'requested' ? pendingView(reservationId, mirrored) : undefined;
  if (pending && !trust.isDoubted()) return pending;
  // An id that the mirror or a receipt knows was not invented.
  const promised = pending ?? readReceipt(deps, customerId, reservationId, receipt);
  const misses = deps.once(missesOf);
  const mustWait = promised || mirrored ? undefined : misses.refusal(customerId);
  if (mustWait) return mustWait;
  const row = await readOwnReservation(deps.db, reservationId, customerId, deps.clock());
  if (!row) {
    if (promised) return promised;
    misses.note(customerId);
    if (!trust.isDoubted()) return refuse('not_found', 'You have no such reservation.');
    return refuse('status_unknown', 'Ask again in a moment, preferably at the status URL that came with the 202.');
  }
  if (pending) await bringToMirror(deps, [row]);
  return viewOf(row);
}

/** The same, from MySQL only, whatever the mirror says: for verbs that change the reservation. */
export async function getDecidedReservation(
  deps: MirrorNeeds,
  customerId: CustomerId,
  reservationId: ReservationId,
): Promise<ReservationView | Refusal> {
  const row = await readOwnReservation(deps.db, reservationId, customerId, deps.clock());
  if (!row) return refuse('not_found', 'You have no such reservation.');
  await bringToMirror(deps, [row]);
  return viewOf(row);
}

/** This customer's decided reservations, the latest ticket first. */
export async function listReservations(
  deps: MirrorNeeds,
  customerId: CustomerId,
  page: PageQuery,
): Promise<Page<ReservationView> | Refusal> {
  const after = readCursor('reservations', page.cursor, z.tuple([z.number().int(), idOf<ReservationId>()]));
  if (isRefusal(after)) return after;
  const rows = await listOwnReservations(deps.db, customerId, after, page.limit + 1, deps.clock());
  await bringToMirror(deps, rows.slice(0, page.limit));
  return toPage('reservations', rows, page.limit, (row) => [row.ticket, row.reservationId], viewOf);
}

/**
 * Writes what is about to be shown to the mirror if that still has it as requested, as a redelivery would, so that the
 * next read, in any process, shows no earlier state. One round trip to Redis if nothing is stale. Older decisions have
 * been repaired since, unless Redis was unavailable. Never throws: the answer is correct without it.
 */
async function bringToMirror(deps: MirrorNeeds, shown: OwnReservation[]): Promise<void> {
  const trust = deps.once(mirrorTrust);
  const sinceMs = trust.isDoubted() ? 0 : deps.clock() - distrustForMs;
  const lately = shown.filter((row) => row.decidedAtMs >= sinceMs);
  if (lately.length === 0) return;
  try {
    const behind = await readUndecidedInMirror(deps, lately);
    if (behind.length === 0) return;
    const stock = await readStock(deps.db, [...new Set(behind.map((row) => row.saleId))]);
    await refreshMirror(deps, [...stock.values()], behind);
  } catch (error) {
    trust.failed();
    warnUnlessOutage(error, 'reservations are shown that the mirror may not know', { reservations: lately.length });
  }
}

function viewOf(row: OwnReservation): ReservationView {
  return {
    reservationId: row.reservationId,
    saleId: row.saleId,
    state: row.state,
    quantity: row.quantity,
    fill: fillOf(row.quantity, row.atLeast),
    units: row.units,
    ticket: row.ticket,
    position: row.position,
    reason: row.reason,
    deadline: deadlineOf(row),
    purchaseId: row.purchaseId,
    partOf: row.partOf,
    version: row.version,
    acceptedAt: toIso(row.acceptedAtMs),
    decidedAt: toIso(row.decidedAtMs),
  };
}

/** Only units that can still be bought have a deadline. */
function deadlineOf(row: OwnReservation): string | null {
  return row.state === 'allocated' && row.endsAtMs !== null ? toIso(row.endsAtMs) : null;
}

function pendingView(reservationId: ReservationId, status: MirroredStatus & { saleId: SaleId }): ReservationView {
  return undecidedView(reservationId, { ...status, acceptedAtMs: Math.floor(status.ticket / 1000) });
}
