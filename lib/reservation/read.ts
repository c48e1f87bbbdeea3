/**
 * Reading reservations, as their owners see them.
 *
 * One reservation is read from the mirror alone where that is sure of it (`sureView`), so that a rush of questions does
 * not reach MySQL; otherwise, and for lists, MySQL is read. The owner is in every WHERE (invariant I10).
 *
 * Invariant I6: monotonic reads. A mirror that missed a change would show an older state of a reservation than was already
 * shown, so what is shown from MySQL is written to the mirror first, and after a failure of Redis the mirror alone is not
 * trusted with what may still change.
 */

import * as z from 'zod';
import { isOutdated, type MirroredReservation, type Shown } from '#mirror/claims.ts';
import {
  type MirroredAnswer,
  type MirrorNeeds,
  readBehindInMirror,
  readMirroredStatus,
  readStatusWithin,
  refreshMirror,
} from '#mirror/mirror.ts';
import { mirrorTrust } from '#mirror/mirror-trust.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { freePassage, type Passage } from '#platform/handlers/limits.ts';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, ReservationId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { warnUnlessOutage } from '#platform/redis/outage-log.ts';
import { missesOf } from '#platform/resilience/unknown-ids.ts';
import { readStock } from '#sale/sale.store.ts';
import { shownDeadlineMs } from '#sale/sale-clock.ts';
import { isFinal } from '#state/reservation-state.ts';
import { readReceipt, undecidedView } from './receipt.ts';
import { fillOf, type ReservationView } from './reservation.shapes.ts';
import { countPlace, listOwnReservations, type OwnReservation, readOwnReservation } from './reservation.store.ts';

/** What reading one reservation needs. */
export type ReadNeeds = MirrorNeeds & Needs<'registry'>;

/**
 * One reservation of this customer; `not_found` for another customer's. `receipt` is the one of its status URL: with it, an
 * accepted request is never answered with `not_found`, during any outage. Without it, `status_unknown` as long as a
 * request may have been accepted that the mirror does not know; `too_many_requests` for a caller who has asked for many that
 * do not exist.
 */
export async function getReservation(
  deps: ReadNeeds,
  customerId: CustomerId,
  reservationId: ReservationId,
  receipt = '',
  { buckets, refuse: refuseBeyond }: Passage = freePassage,
): Promise<ReservationView | Refusal> {
  const trust = deps.once(mirrorTrust);
  const mirrored = await readStatusWithin(deps, { reservationId, customerId, buckets }).catch((error) => {
    trust.failed();
    warnUnlessOutage(error, 'reading a reservation without the mirror');
    return undefined;
  });
  if (mirrored && 'empty' in mirrored) return refuseBeyond(mirrored.empty);
  const sure = mirrored && sureView(reservationId, mirrored, deps.clock(), trust.isDoubted());
  if (sure) return sure;
  const pending = mirrored?.state === 'requested' ? pendingView(reservationId, mirrored) : undefined;
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
  if (mirrored && isOutdated(mirrored, row)) await bringToMirror(deps, [row]);
  return viewOf(row, await placeOf(deps, row, mirrored, !trust.isDoubted()));
}

/**
 * The reservation as the mirror alone shows it, if that is what MySQL would show; undefined if the mirror is not sure:
 *
 * - What was rejected, cancelled or has expired never changes again, so no failure can make it outdated.
 * - What may still change is believed unless Redis failed lately (`isDoubted`), because every change is mirrored. A place in
 *   line is known only if Redis has all who wait.
 * - Of the rest, such as what a purchase is paying for, the mirror does not have all that is shown.
 */
export function sureView(
  reservationId: ReservationId,
  mirrored: MirroredAnswer,
  nowMs: number,
  isDoubted: boolean,
): ReservationView | undefined {
  const { state, shown, clock, placeInLine } = mirrored;
  if (isFinal(state)) return shown ? decidedView(reservationId, mirrored, shown) : undefined;
  if (isDoubted) return undefined;
  if (state === 'requested') return pendingView(reservationId, mirrored);
  if (!shown) return undefined;
  if (state === 'waitlisted') {
    return placeInLine === null ? undefined : { ...decidedView(reservationId, mirrored, shown), position: placeInLine };
  }
  if (state !== 'allocated' || !clock) return undefined;
  const deadline = toIso(shownDeadlineMs(clock, shown.deadlineMs, nowMs));
  return { ...decidedView(reservationId, mirrored, shown), deadline };
}

function decidedView(reservationId: ReservationId, mirrored: MirroredAnswer, shown: Shown): ReservationView {
  const { saleId, state, quantity, atLeast, units, ticket, version } = mirrored;
  return {
    reservationId,
    saleId,
    state,
    quantity,
    fill: fillOf(quantity, atLeast),
    units,
    ticket,
    position: null,
    reason: shown.reason,
    deadline: null,
    purchaseId: null,
    partOf: null,
    version,
    acceptedAt: toIso(shown.acceptedAtMs),
    decidedAt: toIso(shown.decidedAtMs),
  };
}

/** The same, from MySQL, even where the mirror is sure: for verbs that change the reservation. */
export async function getDecidedReservation(
  deps: MirrorNeeds,
  customerId: CustomerId,
  reservationId: ReservationId,
): Promise<ReservationView | Refusal> {
  const row = await readOwnReservation(deps.db, reservationId, customerId, deps.clock());
  if (!row) return refuse('not_found', 'You have no such reservation.');
  await bringToMirror(deps, [row]);
  return viewOf(row, await placeOf(deps, row, await mirroredPlace(deps, row), false));
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
  const isTrusted = !deps.once(mirrorTrust).isDoubted();
  const mirrored = await Promise.all(rows.map((row) => mirroredPlace(deps, row)));
  const placed: (OwnReservation & { position: number | null })[] = [];
  for (const [index, row] of rows.entries()) {
    placed.push({ ...row, position: await placeOf(deps, row, mirrored[index], isTrusted) });
  }
  return toPage(
    'reservations',
    placed,
    page.limit,
    (row) => [row.ticket, row.reservationId],
    (row) => viewOf(row, row.position),
  );
}

/** What the mirror knows of a reservation that waits, which has its place in line; undefined if Redis cannot be asked. */
async function mirroredPlace(
  deps: MirrorNeeds,
  { state, reservationId, customerId }: OwnReservation,
): Promise<MirroredAnswer | undefined> {
  if (state !== 'waitlisted') return undefined;
  return readMirroredStatus(deps, reservationId, customerId).catch((error) => {
    deps.once(mirrorTrust).failed();
    warnUnlessOutage(error, 'a place in line is counted without the mirror');
    return undefined;
  });
}

/**
 * The place of a reservation that waits: from the mirror, or counted in MySQL, which counts no more than so many. What is
 * trusted comes first; a mirror that may have missed somebody's leaving is still better than no place. Null if neither knows.
 */
async function placeOf(
  { db }: Needs<'db'>,
  row: OwnReservation,
  mirrored: MirroredAnswer | undefined,
  isMirrorTrusted: boolean,
): Promise<number | null> {
  if (row.state !== 'waitlisted') return null;
  const isSame = mirrored?.state === 'waitlisted' && mirrored.version === row.version;
  const known = isSame ? mirrored.placeInLine : null;
  return (isMirrorTrusted ? known : null) ?? (await countPlace(db, row)) ?? known;
}

/**
 * Writes what is about to be shown to the mirror if that is outdated, as a redelivery would, so that the next
 * read, in any process, shows no earlier state. One round trip to Redis if nothing is stale. Never throws: the answer is
 * correct without it.
 */
export async function bringToMirror(deps: MirrorNeeds, shown: readonly MirroredReservation[]): Promise<void> {
  if (shown.length === 0) return;
  try {
    const behind = await readBehindInMirror(deps, shown);
    if (behind.length === 0) return;
    const stock = await readStock(deps.db, [...new Set(behind.map((row) => row.saleId))]);
    await refreshMirror(deps, [...stock.values()], behind);
  } catch (error) {
    deps.once(mirrorTrust).failed();
    warnUnlessOutage(error, 'reservations are shown that the mirror may not know', { reservations: shown.length });
  }
}

function viewOf(row: OwnReservation, position: number | null): ReservationView {
  return {
    reservationId: row.reservationId,
    saleId: row.saleId,
    state: row.state,
    quantity: row.quantity,
    fill: fillOf(row.quantity, row.atLeast),
    units: row.units,
    ticket: row.ticket,
    position,
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

function pendingView(reservationId: ReservationId, status: MirroredAnswer): ReservationView {
  return undecidedView(reservationId, { ...status, acceptedAtMs: Math.floor(status.ticket / 1000) });
}
