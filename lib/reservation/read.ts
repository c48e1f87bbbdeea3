/**
 * Reservations as their owners see them.
 *
 * A request that is not decided yet is known to the mirror only, so that a rush of customers asking how they stand does
 * not reach MySQL; everything decided is read from MySQL. The owner is in every WHERE (invariant I10).
 *
 * Invariant I6: nobody is told less than before. A mirror that missed a decision would say “requested” of what MySQL has
 * already shown, so what is shown from MySQL is brought to the mirror first, and after a failure of Redis the mirror is
 * not believed alone.
 */
import * as z from 'zod';
import {
  type MirroredStatus,
  type RebuildDeps,
  readMirroredStatus,
  readUndecidedInMirror,
  refreshMirror,
} from '#mirror/mirror.ts';
import { doubtForMs, doubtMirror, isMirrorDoubted } from '#mirror/mirror-trust.ts';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { type Clock, toIso } from '#platform/kernel/clock.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { fromBytes, toBytes } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { readStock } from '#sale/stock.ts';
import { fillOf, type ReservationView } from './reservation.shapes.ts';
import { type ReservationRow, type StoredReservation, toReservation } from './store.ts';

const columns = `r.id, r.sale_id AS saleId, r.customer_id AS customerId, r.ticket, r.quantity, r.at_least AS atLeast, r.state,
  r.units, r.reason, COALESCE(r.deadline_ms, s.purchase_closes_at_ms) AS deadlineMs, r.purchase_id AS purchaseId,
  r.version, r.accepted_at_ms AS acceptedAtMs, r.decided_at_ms AS decidedAtMs,
  IF(r.state = 'waitlisted', (SELECT COUNT(*) FROM waitlist w
    WHERE w.sale_id = r.sale_id AND w.deadline_ms IS NULL AND w.ticket < r.ticket) + 1, NULL) AS position`;
const source = 'FROM reservations r LEFT JOIN sales s ON s.id = r.sale_id';

type Read = StoredReservation & { readonly position: number | null };

/** What reading reservations needs. */
export type ReadDeps = RebuildDeps & { readonly db: Sql; readonly clock: Clock };

/** One reservation of this customer; `not_found` for everybody else's. */
export async function getReservation(
  deps: ReadDeps,
  reservationId: string,
  customerId: string,
): Promise<ReservationView | Refusal> {
  const mirrored = await readMirroredStatus(deps.redis, reservationId, customerId).catch((error) => {
    doubtMirror(deps.redis, deps.clock());
    log.warn('reading a reservation without the mirror', { error });
    return undefined;
  });
  const pending = mirrored?.state === 'requested' ? pendingView(reservationId, mirrored) : undefined;
  if (pending && !isMirrorDoubted(deps.redis, deps.clock())) return pending;
  const row = await readOwn(deps.db, reservationId, customerId);
  if (!row) return pending ?? refuse('not_found', 'You have no such reservation.');
  if (pending) await bringToMirror(deps, [row]);
  return viewOf(row);
}

/** The same of what MySQL has, whatever the mirror says: for those who change it, or have. */
export async function getDecidedReservation(
  deps: ReadDeps,
  reservationId: string,
  customerId: string,
): Promise<ReservationView | Refusal> {
  const row = await readOwn(deps.db, reservationId, customerId);
  if (!row) return refuse('not_found', 'You have no such reservation.');
  await bringToMirror(deps, [row]);
  return viewOf(row);
}

/** This customer's decided reservations, the latest place in line first. */
export async function listReservations(
  deps: ReadDeps,
  customerId: string,
  page: PageQuery,
): Promise<Page<ReservationView> | Refusal> {
  const position = readCursor('reservations', page.cursor, z.tuple([z.number().int(), z.uuid()]));
  if (position && 'refused' in position) return position;
  const after = position ? 'AND (r.ticket, r.id) < (?, ?)' : '';
  const rows = await deps.db.rows<Read>(
    `SELECT ${columns} ${source} WHERE r.customer_id = ? ${after} ORDER BY r.ticket DESC, r.id DESC LIMIT ?`,
    [toBytes(customerId), ...(position ? [position[0], toBytes(position[1])] : []), page.limit + 1],
  );
  await bringToMirror(deps, rows.slice(0, page.limit));
  return toPage('reservations', rows, page.limit, (row) => [row.ticket, fromBytes(row.id)], viewOf);
}

async function readOwn(db: Sql, reservationId: string, customerId: string): Promise<Read | undefined> {
  const [row] = await db.rows<Read>(`SELECT ${columns} ${source} WHERE r.id = ? AND r.customer_id = ?`, [
    toBytes(reservationId),
    toBytes(customerId),
  ]);
  return row;
}

/**
 * Brings what is about to be shown to a mirror that still calls it requested, as a redelivery would, so that whoever asks
 * next, in whatever process, is told no less. Costs one round trip to Redis where nothing is behind. What was decided
 * longer ago has been repaired since, unless Redis was away meanwhile. Never throws: the answer is right without it.
 */
async function bringToMirror(deps: ReadDeps, shown: Read[]): Promise<void> {
  const nowMs = deps.clock();
  const sinceMs = isMirrorDoubted(deps.redis, nowMs) ? 0 : nowMs - doubtForMs;
  const lately = shown.filter((row) => row.decidedAtMs >= sinceMs).map(toReservation);
  if (lately.length === 0) return;
  try {
    const behind = await readUndecidedInMirror(deps.redis, lately);
    if (behind.length === 0) return;
    const stock = await readStock(deps.db, [...new Set(behind.map((row) => row.saleId))]);
    await refreshMirror(deps, [...stock.values()], behind);
  } catch (error) {
    doubtMirror(deps.redis, nowMs);
    log.warn('reservations are shown that the mirror may not know', { error, reservations: lately.length });
  }
}

function viewOf({ position, ...stored }: Read): ReservationView {
  const row = toReservation(stored);
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
    version: row.version,
    acceptedAt: toIso(row.acceptedAtMs),
    decidedAt: toIso(row.decidedAtMs),
  };
}

/** Only units that can still be bought have a deadline. */
function deadlineOf(row: ReservationRow): string | null {
  return row.state === 'allocated' && row.deadlineMs !== null ? toIso(row.deadlineMs) : null;
}

function pendingView(reservationId: string, status: MirroredStatus & { saleId: string }): ReservationView {
  return {
    reservationId,
    saleId: status.saleId,
    state: 'requested',
    quantity: status.quantity,
    fill: fillOf(status.quantity, status.atLeast),
    units: 0,
    ticket: status.ticket,
    position: status.position,
    reason: null,
    deadline: null,
    purchaseId: null,
    version: 0,
    acceptedAt: toIso(Math.floor(status.ticket / 1000)),
    decidedAt: null,
  };
}
