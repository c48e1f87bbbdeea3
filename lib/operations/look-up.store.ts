/**
 * What operators look up, as SQL. It only reads.
 *
 * Invariant: a page reads a bounded number of rows, for a sale of any size, also if what is looked for is rare. A sale's
 * reservations lie together by their ids, so a page goes over a window of at most `rowsScanned` of them, and there is no index
 * that each reservation would have to pay for. Where customers are named, only their rows are read.
 */

import type { SubjectId } from '#labels/label.store.ts';
import { type CustomerId, fromBytes, type PurchaseId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { idsOfSale } from '#reservation/reservation-id.ts';
import type { ReservationState } from '#state/reservation-state.ts';

type Reads = Pick<Sql, 'rows'>;

/** How many rows of a sale one page goes over at most. */
export const rowsScanned = 20_000;

/** What narrows a list, with accounts and charges found already. */
export interface Narrowed {
  readonly saleId: SaleId;
  readonly state: string | undefined;
  /** Only what is theirs; undefined for those of all customers. */
  readonly customerIds: readonly CustomerId[] | undefined;
  /** Only what these purchases have paid for, or are paying for. */
  readonly purchaseIds: readonly PurchaseId[] | undefined;
  /** Only what has the shop's reference: these reservations or purchases. */
  readonly labelledIds: readonly SubjectId[] | undefined;
  readonly fromMs: number | undefined;
  readonly toMs: number | undefined;
}

/** The row after which a page begins: a reservation, and in the list of purchases one of those that bought it. */
export interface Place {
  readonly id: Buffer;
  readonly purchaseId: Buffer | undefined;
}

/** A row with its place in its list. */
export interface Placed {
  readonly id: Buffer;
  readonly purchaseId?: Buffer | null;
}

/** The customers whose address begins so, at most `limit`. */
export async function findByEmail(sql: Reads, beginning: string, limit: number): Promise<CustomerId[]> {
  const escaped = beginning.replace(/[\\%_]/g, '\\$&');
  const rows = await sql.rows<{ id: Buffer }>('SELECT id FROM customers WHERE email LIKE ? ORDER BY email LIMIT ?', [
    `${escaped}%`,
    limit,
  ]);
  return rows.map(({ id }) => fromBytes<'customer'>(id));
}

/** The customers whom the shop's own system knows by this id, capitals and all: nobody, or one. */
export async function findByExternalId(sql: Reads, externalId: string): Promise<CustomerId[]> {
  const rows = await sql.rows<{ id: Buffer; found: string }>(
    'SELECT id, external_id AS found FROM customers WHERE external_id = ?',
    [externalId],
  );
  // The index knows no capitals.
  return rows.filter(({ found }) => found === externalId).map(({ id }) => fromBytes<'customer'>(id));
}

/** The purchases that a charge of the provider has paid for: one, unless providers give the same id twice. */
export async function findByCharge(
  sql: Reads,
  chargeId: string,
  limit: number,
): Promise<{ purchaseId: PurchaseId; customerId: CustomerId }[]> {
  const rows = await sql.rows<{ id: Buffer; customerId: Buffer }>(
    'SELECT id, customer_id AS customerId FROM purchases WHERE charge_id = ? LIMIT ?',
    [chargeId, limit],
  );
  return rows.map(({ id, customerId }) => ({ purchaseId: fromBytes(id), customerId: fromBytes(customerId) }));
}

/** The reservations or purchases that have a reference, with whose they are. */
export async function findByReference(
  sql: Reads,
  kind: 'reservation' | 'purchase',
  reference: string,
  limit: number,
): Promise<{ subjectId: SubjectId; customerId: CustomerId }[]> {
  const table = kind === 'reservation' ? 'reservations' : 'purchases';
  const rows = await sql.rows<{ id: Buffer; customerId: Buffer }>(
    `SELECT s.id, s.customer_id AS customerId
     FROM labels l FORCE INDEX (labels_reference) STRAIGHT_JOIN ${table} s ON s.id = l.subject_id
     WHERE l.reference = ? AND l.kind = ? LIMIT ?`,
    [reference, kind, limit],
  );
  return rows.map(({ id, customerId }) => ({ subjectId: fromBytes(id), customerId: fromBytes(customerId) }));
}

/** A condition and its values. */
type Condition = readonly [sql: string, values: readonly unknown[]];
const allOf = (conditions: readonly (Condition | undefined)[]) => {
  const wanted = conditions.filter((one) => one !== undefined);
  return { where: wanted.map(([sql]) => sql).join(' AND '), values: wanted.flatMap(([, values]) => values) };
};
const when = (value: unknown, sql: string): Condition | undefined => (value === undefined ? undefined : [sql, [value]]);
const among = (ids: readonly string[] | undefined, sql: string): Condition | undefined =>
  ids === undefined ? undefined : [sql, [ids.map(toBytes)]];

/** The rows of a sale in one table, from a place up to an end. */
function between(column: string, saleId: SaleId, after: Place | undefined, end: Place | undefined): Condition[] {
  const ids = idsOfSale(saleId);
  const first: Condition = after?.purchaseId
    ? [`${column} >= ? AND (${column} > ? OR i.purchase_id > ?)`, [after.id, after.id, after.purchaseId]]
    : [`${column} > ?`, [after?.id ?? ids.after]];
  const last: Condition = end?.purchaseId
    ? [`${column} <= ? AND (${column} < ? OR i.purchase_id <= ?)`, [end.id, end.id, end.purchaseId]]
    : [`${column} <= ?`, [end?.id ?? ids.last]];
  return [first, last];
}

/** The last row of the window of so many that begins after a place; undefined if the rest of the sale is smaller. */
export async function endOfWindow(
  sql: Reads,
  list: 'reservations' | 'items',
  saleId: SaleId,
  after: Place | undefined,
  window: number,
): Promise<Place | undefined> {
  const isItems = list === 'items';
  const [column, from, order] = isItems
    ? [
        'i.reservation_id',
        'purchase_items i FORCE INDEX (purchase_items_reservation)',
        'i.reservation_id, i.purchase_id',
      ]
    : ['r.id', 'reservations r FORCE INDEX (PRIMARY)', 'r.id'];
  const { where, values } = allOf(between(column, saleId, after, undefined));
  const [row] = await sql.rows<{ id: Buffer; purchaseId: Buffer | null }>(
    `SELECT ${column} AS id, ${isItems ? 'i.purchase_id' : 'NULL'} AS purchaseId FROM ${from} WHERE ${where}
     ORDER BY ${order} LIMIT 1 OFFSET ?`,
    [...values, window - 1],
  );
  return row && { id: row.id, purchaseId: row.purchaseId ?? undefined };
}

/** A reservation with whose it is. */
export interface ReservationFound extends Placed {
  readonly customerId: Buffer;
  readonly email: string | null;
  readonly name: string | null;
  readonly customerExternalId: string | null;
  readonly state: ReservationState;
  readonly quantity: number;
  readonly atLeast: number;
  readonly units: number;
  readonly ticket: number;
  readonly reason: string | null;
  readonly boughtBy: Buffer | null;
  readonly partOf: Buffer | null;
  readonly reference: string | null;
  readonly metadata: string | null;
  readonly acceptedAtMs: number;
  readonly decidedAtMs: number;
}

/** Reservations of a sale between two places, by id. */
export function listReservations(
  sql: Reads,
  narrowed: Narrowed,
  after: Place | undefined,
  end: Place | undefined,
  limit: number,
): Promise<ReservationFound[]> {
  const { saleId, state, customerIds, purchaseIds, labelledIds, fromMs, toMs } = narrowed;
  const { where, values } = allOf([
    ...between('r.id', saleId, after, end),
    ['r.sale_id = ?', [toBytes(saleId)]],
    among(customerIds, 'r.customer_id IN (?)'),
    among(purchaseIds, 'r.purchase_id IN (?)'),
    among(labelledIds, 'r.id IN (?)'),
    when(state, 'r.state = ?'),
    when(fromMs, 'r.accepted_at_ms >= ?'),
    when(toMs, 'r.accepted_at_ms < ?'),
  ]);
  return sql.rows(
    `SELECT r.id, r.customer_id AS customerId, c.email, c.name, c.external_id AS customerExternalId,
            r.state, r.quantity, r.at_least AS atLeast, r.units, r.ticket,
            r.reason, r.purchase_id AS boughtBy, r.part_of AS partOf, r.accepted_at_ms AS acceptedAtMs,
            r.decided_at_ms AS decidedAtMs, l.reference, l.metadata
     FROM reservations r FORCE INDEX (${customerIds ? 'reservations_nth' : 'PRIMARY'})
     LEFT JOIN customers c ON c.id = r.customer_id LEFT JOIN labels l ON l.subject_id = r.id
     WHERE ${where} ORDER BY r.id LIMIT ?`,
    [...values, limit],
  );
}

/** A purchase with whose it is, at its first reservation in the sale. */
export interface PurchaseFound extends Placed {
  readonly purchaseId: Buffer;
  readonly customerId: Buffer;
  readonly email: string | null;
  readonly name: string | null;
  readonly customerExternalId: string | null;
  readonly state: string;
  readonly units: number;
  readonly amountMinor: number;
  readonly currency: string;
  readonly capturedMinor: number | null;
  readonly externalId: string | null;
  readonly reason: string | null;
  readonly reference: string | null;
  readonly metadata: string | null;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** Purchases in a sale between two places, by the id of their first reservation in it. */
export function listPurchases(
  sql: Reads,
  narrowed: Narrowed,
  after: Place | undefined,
  end: Place | undefined,
  limit: number,
): Promise<PurchaseFound[]> {
  const { saleId, state, customerIds, purchaseIds, labelledIds, fromMs, toMs } = narrowed;
  const { where, values } = allOf([
    ...between('i.reservation_id', saleId, after, end),
    ['i.sale_id = ?', [toBytes(saleId)]],
    [
      `NOT EXISTS (SELECT 1 FROM purchase_items e WHERE e.purchase_id = i.purchase_id AND e.sale_id = i.sale_id
         AND e.reservation_id < i.reservation_id)`,
      [],
    ],
    among(customerIds, 'p.customer_id IN (?)'),
    among(purchaseIds, 'p.id IN (?)'),
    among(labelledIds, 'p.id IN (?)'),
    when(state, 'p.state = ?'),
    when(fromMs, 'p.created_at_ms >= ?'),
    when(toMs, 'p.created_at_ms < ?'),
  ]);
  const tables = customerIds
    ? 'purchases p FORCE INDEX (purchases_customer) STRAIGHT_JOIN purchase_items i FORCE INDEX (PRIMARY)'
    : 'purchase_items i FORCE INDEX (purchase_items_reservation) STRAIGHT_JOIN purchases p FORCE INDEX (PRIMARY)';
  return sql.rows(
    `SELECT i.reservation_id AS id, p.id AS purchaseId, p.customer_id AS customerId, c.email, c.name,
            c.external_id AS customerExternalId, p.state,
            (SELECT CAST(SUM(u.units) AS SIGNED) FROM purchase_items u
              WHERE u.purchase_id = i.purchase_id AND u.sale_id = i.sale_id) AS units,
            p.amount_minor AS amountMinor, p.currency, p.captured_minor AS capturedMinor, p.charge_id AS externalId, p.reason,
            p.created_at_ms AS createdAtMs, p.updated_at_ms AS updatedAtMs, l.reference, l.metadata
     FROM ${tables} ON p.id = i.purchase_id LEFT JOIN customers c ON c.id = p.customer_id
     LEFT JOIN labels l ON l.subject_id = p.id
     WHERE ${where} ORDER BY i.reservation_id, i.purchase_id LIMIT ?`,
    [...values, limit],
  );
}

/** A customer of a sale, at their first reservation in it. */
export interface CustomerFound extends Placed {
  readonly customerId: Buffer;
  readonly email: string | null;
  readonly name: string | null;
  readonly customerExternalId: string | null;
  readonly acceptedAtMs: number;
}

/** Customers of a sale between two places. Each has one reservation in it that was the first (`nth` is 0). */
export function listCustomers(
  sql: Reads,
  narrowed: Narrowed,
  after: Place | undefined,
  end: Place | undefined,
  limit: number,
): Promise<CustomerFound[]> {
  const { saleId, state, customerIds, fromMs, toMs } = narrowed;
  const { where, values } = allOf([
    ...between('r.id', saleId, after, end),
    ['r.sale_id = ? AND r.nth = 0', [toBytes(saleId)]],
    among(customerIds, 'r.customer_id IN (?)'),
    when(
      state,
      `EXISTS (SELECT 1 FROM reservations o WHERE o.customer_id = r.customer_id AND o.sale_id = r.sale_id AND o.state = ?)`,
    ),
    when(fromMs, 'r.accepted_at_ms >= ?'),
    when(toMs, 'r.accepted_at_ms < ?'),
  ]);
  return sql.rows(
    `SELECT r.id, r.customer_id AS customerId, c.email, c.name, c.external_id AS customerExternalId,
            r.accepted_at_ms AS acceptedAtMs
     FROM reservations r FORCE INDEX (${customerIds ? 'reservations_nth' : 'PRIMARY'})
     LEFT JOIN customers c ON c.id = r.customer_id
     WHERE ${where} ORDER BY r.id LIMIT ?`,
    [...values, limit],
  );
}

/**
 * What some customers have in a sale, by state. The index is named because the optimizer may go over a table of a hundred
 * thousand rows rather than look up five hundred customers.
 */
export function sumByCustomer(
  sql: Reads,
  saleId: SaleId,
  customerIds: readonly Buffer[],
): Promise<{ customerId: Buffer; state: ReservationState; count: number; units: number }[]> {
  if (customerIds.length === 0) return Promise.resolve([]);
  return sql.rows(
    `SELECT customer_id AS customerId, state, COUNT(*) AS count, CAST(SUM(units) AS SIGNED) AS units
     FROM reservations FORCE INDEX (reservations_nth)
     WHERE customer_id IN (?) AND sale_id = ? GROUP BY customer_id, state`,
    [customerIds, toBytes(saleId)],
  );
}
