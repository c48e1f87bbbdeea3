/**
 * Reservations as their owners see them.
 *
 * A request that is not decided yet is known to the mirror only, so that a rush of customers asking how they stand does
 * not reach MySQL; everything decided is read from MySQL. The owner is in every WHERE (invariant I10).
 */
import { z } from 'zod';
import { toIso } from '../platform/clock.ts';
import type { Sql } from '../platform/db.ts';
import { type Refusal, refuse } from '../platform/errors.ts';
import { fromBytes, toBytes } from '../platform/id.ts';
import { log } from '../platform/log.ts';
import { type Page, type PageQuery, readCursor, toPage } from '../platform/page.ts';
import type { RedisClient } from '../platform/redis.ts';
import { type MirroredStatus, readMirroredStatus } from './mirror.ts';
import { fillOf, type ReservationView } from './reservation.shapes.ts';
import { type ReservationRow, type StoredReservation, toReservation } from './store.ts';

const columns = `r.id, r.sale_id AS saleId, r.customer_id AS customerId, r.ticket, r.quantity, r.at_least AS atLeast, r.state,
  r.units, r.reason, COALESCE(r.deadline_ms, s.purchase_closes_at_ms) AS deadlineMs, r.purchase_id AS purchaseId,
  r.version, r.accepted_at_ms AS acceptedAtMs, r.decided_at_ms AS decidedAtMs,
  IF(r.state = 'waitlisted', (SELECT COUNT(*) FROM waitlist w
    WHERE w.sale_id = r.sale_id AND w.deadline_ms IS NULL AND w.ticket < r.ticket) + 1, NULL) AS position`;
const source = 'FROM reservations r LEFT JOIN sales s ON s.id = r.sale_id';

type Read = StoredReservation & { readonly position: number | null };

/** One reservation of this customer; `not_found` for everybody else's. */
export async function getReservation(
  deps: { db: Sql; redis: RedisClient },
  reservationId: string,
  customerId: string,
): Promise<ReservationView | Refusal> {
  const mirrored = await readMirroredStatus(deps.redis, reservationId, customerId).catch((error) => {
    log.warn('reading a reservation without the mirror', { error });
    return undefined;
  });
  if (mirrored?.state === 'requested') return pendingView(reservationId, mirrored);
  const [row] = await deps.db.rows<Read>(`SELECT ${columns} ${source} WHERE r.id = ? AND r.customer_id = ?`, [
    toBytes(reservationId),
    toBytes(customerId),
  ]);
  return row ? viewOf(row) : refuse('not_found', 'You have no such reservation.');
}

/** This customer's decided reservations, the latest place in line first. */
export async function listReservations(
  db: Sql,
  customerId: string,
  page: PageQuery,
): Promise<Page<ReservationView> | Refusal> {
  const position = readCursor('reservations', page.cursor, z.tuple([z.number().int(), z.uuid()]));
  if (position && 'refused' in position) return position;
  const after = position ? 'AND (r.ticket, r.id) < (?, ?)' : '';
  const rows = await db.rows<Read>(
    `SELECT ${columns} ${source} WHERE r.customer_id = ? ${after} ORDER BY r.ticket DESC, r.id DESC LIMIT ?`,
    [toBytes(customerId), ...(position ? [position[0], toBytes(position[1])] : []), page.limit + 1],
  );
  return toPage('reservations', rows, page.limit, (row) => [row.ticket, fromBytes(row.id)], viewOf);
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
