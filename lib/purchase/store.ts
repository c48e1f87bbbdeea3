/**
 * The purchases of MySQL: every statement that purchases need, and nothing that decides.
 *
 * Locks are taken in one order everywhere, so that no two transactions wait for each other: sales by id, then purchases,
 * then reservations. Every statement that moves a row repeats in its WHERE the state it moves from, and the caller is
 * told if not all of them moved.
 */
import type { StockLevel } from '#events/catalogue.ts';
import { type RecordedEvent, recordEvents } from '#events/outbox.ts';
import { fromBytes, toBytes } from '#platform/kernel/ids.ts';
import { type Db, isDuplicateKey, type Sql, type Tx } from '#platform/mysql/mysql.ts';
import { leaveWaitlist } from '#reservation/release.store.ts';
import { type ReservationRow, reservationColumns, type StoredReservation, toReservation } from '#reservation/store.ts';
import {
  lockSales,
  type Movement,
  moveStock,
  readSales,
  recordMovements,
  type SaleRow,
  type StockMove,
} from '#sale/stock.ts';
import { openStates, type PurchaseState } from '#state/purchase-state.ts';

/** A purchase's row. */
export interface PurchaseRow {
  readonly purchaseId: string;
  readonly customerId: string;
  readonly state: PurchaseState;
  readonly amountMinor: number;
  readonly currency: string;
  /** What the provider charges; null once the outcome is known. */
  readonly paymentToken: string | null;
  readonly fingerprint: string;
  readonly chargeId: string | null;
  readonly reason: string | null;
  /** How often the provider was to be asked about it. */
  readonly attempts: number;
  readonly version: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** One line of an order: a reservation at the price of its sale. */
export interface PurchaseItem {
  readonly purchaseId: string;
  readonly reservationId: string;
  readonly saleId: string;
  readonly units: number;
  /** Of one unit. */
  readonly priceMinor: number;
}

/** How a purchase moves. The row must still be as `from` says. */
export interface PurchaseMove {
  readonly from: PurchaseRow;
  readonly to: PurchaseState;
  readonly chargeId: string | null;
  readonly reason: string | null;
}

/** Thrown when fewer rows moved than were held: the transaction is undone. */
export class PurchaseConflict extends Error {
  constructor(what: string, wanted: number, moved: number) {
    super(`${wanted - moved} of ${wanted} ${what} did not move`);
    this.name = 'PurchaseConflict';
  }
}

/** Thrown when a purchase of this id was written by somebody else in the meantime. */
export class AlreadyRequested extends Error {
  constructor(cause: unknown) {
    super('this purchase was requested elsewhere', { cause });
    this.name = 'AlreadyRequested';
  }
}

/** What purchases do inside one transaction. */
export interface PurchaseTx {
  /** Sales; with `hold`, nobody else can change them before this transaction ends. */
  sales(saleIds: string[], hold: boolean): Promise<Map<string, SaleRow>>;
  /** Purchases in the order of their ids; with `hold`, nobody else can change them before this transaction ends. */
  purchases(purchaseIds: string[], hold: boolean): Promise<PurchaseRow[]>;
  /** What purchases consist of. It never changes. */
  items(purchaseIds: string[]): Promise<PurchaseItem[]>;
  /** Reservations, held until the transaction ends; with an owner, only those that are this customer's. */
  reservations(reservationIds: string[], customerId?: string): Promise<ReservationRow[]>;
  /** Writes an order and binds its reservations, which must be allocated and free. Throws `AlreadyRequested`. */
  insert(purchase: PurchaseRow, items: PurchaseItem[]): Promise<void>;
  /** Counts one more attempt for each purchase. */
  countAttempt(purchaseIds: string[], nowMs: number): Promise<void>;
  move(moves: PurchaseMove[], nowMs: number): Promise<void>;
  /** Allocated reservations that these purchases hold become bought, and leave the waitlist if they were offers. */
  markPurchased(rows: ReservationRow[], purchaseIds: string[]): Promise<void>;
  /** Bought reservations of these purchases become refunded. */
  markRefunded(rows: ReservationRow[], purchaseIds: string[]): Promise<void>;
  /** Allocated reservations that these purchases hold are free again, until their deadline. */
  unbind(rows: ReservationRow[], purchaseIds: string[]): Promise<void>;
  moveStock(moves: StockMove[]): Promise<StockLevel[]>;
  recordMovements(movements: Movement[], nowMs: number): Promise<void>;
  recordEvents(events: RecordedEvent[], nowMs: number): Promise<void>;
}

export interface PurchaseStore {
  /** Runs `work` in one transaction; committed when it returns, undone when it throws. */
  transaction<T>(work: (tx: PurchaseTx) => Promise<T>): Promise<T>;
  /** Reads a purchase; with an owner, only if it is this customer's. */
  find(purchaseId: string, customerId?: string): Promise<PurchaseRow | undefined>;
  /** Purchases whose outcome is awaited and that nobody has touched since `beforeMs`, the oldest first. */
  leftOpen(beforeMs: number, limit: number): Promise<PurchaseRow[]>;
}

/** The store over MySQL. */
export function purchaseStore(db: Db): PurchaseStore {
  return {
    transaction: (work) => db.transaction((tx) => work(purchaseTx(tx))),
    find: async (purchaseId, customerId) => (await readPurchases(db, ownedBy([purchaseId], customerId)))[0],
    leftOpen: (beforeMs, limit) =>
      readPurchases(db, {
        where: 'state IN (?) AND updated_at_ms <= ? ORDER BY updated_at_ms LIMIT ?',
        values: [openStates, beforeMs, limit],
      }),
  };
}

function purchaseTx(tx: Tx): PurchaseTx {
  return {
    sales: (saleIds, hold) => (hold ? lockSales(tx, saleIds) : readSales(tx, saleIds)),
    purchases: (purchaseIds, hold) =>
      readPurchases(tx, {
        where: `id IN (?) ORDER BY id ${hold ? 'FOR UPDATE' : ''}`,
        values: [purchaseIds.map(toBytes)],
      }),
    items: (purchaseIds) => readItems(tx, purchaseIds),
    reservations: (reservationIds, customerId) => holdReservations(tx, reservationIds, customerId),
    insert: (purchase, items) => insert(tx, purchase, items),
    countAttempt: async (purchaseIds, nowMs) => {
      await tx.change('UPDATE purchases SET attempts = attempts + 1, updated_at_ms = ? WHERE id IN (?)', [
        nowMs,
        purchaseIds.map(toBytes),
      ]);
    },
    move: (moves, nowMs) => move(tx, moves, nowMs),
    markPurchased: async (rows, purchaseIds) => {
      await moveReservations(tx, `state = 'purchased', version = version + 1`, 'allocated', rows, purchaseIds);
      await leaveWaitlist(
        tx,
        rows.filter((row) => row.deadlineMs !== null),
      );
    },
    markRefunded: (rows, purchaseIds) =>
      moveReservations(tx, `state = 'refunded', version = version + 1`, 'purchased', rows, purchaseIds),
    unbind: (rows, purchaseIds) => moveReservations(tx, 'purchase_id = NULL', 'allocated', rows, purchaseIds),
    moveStock: (moves) => moveStock(tx, moves),
    recordMovements: (movements, nowMs) => recordMovements(tx, movements, nowMs),
    recordEvents: (events, nowMs) => recordEvents(tx, events, nowMs),
  };
}

const purchaseColumns = `id, customer_id AS customerId, state, amount_minor AS amountMinor, currency,
  payment_token AS paymentToken, fingerprint, charge_id AS chargeId, reason, attempts, version,
  created_at_ms AS createdAtMs, updated_at_ms AS updatedAtMs`;

type StoredPurchase = Omit<PurchaseRow, 'purchaseId' | 'customerId'> & { id: Buffer; customerId: Buffer };

interface Condition {
  readonly where: string;
  readonly values: unknown[];
}

/** Purchases by id, of one owner if one is given. */
export function ownedBy(purchaseIds: string[], customerId: string | undefined): Condition {
  const ids = purchaseIds.map(toBytes);
  return customerId === undefined
    ? { where: 'id IN (?)', values: [ids] }
    : { where: 'id IN (?) AND customer_id = ?', values: [ids, toBytes(customerId)] };
}

/** Reads the purchases that a condition on their columns names. */
export async function readPurchases(sql: Sql, { where, values }: Condition): Promise<PurchaseRow[]> {
  const rows = await sql.rows<StoredPurchase>(`SELECT ${purchaseColumns} FROM purchases WHERE ${where}`, values);
  return rows.map(({ id, customerId, ...row }) => ({
    ...row,
    purchaseId: fromBytes(id),
    customerId: fromBytes(customerId),
  }));
}

/** Reads what purchases consist of. */
export async function readItems(sql: Sql, purchaseIds: string[]): Promise<PurchaseItem[]> {
  if (purchaseIds.length === 0) return [];
  const rows = await sql.rows<{
    purchaseId: Buffer;
    reservationId: Buffer;
    saleId: Buffer;
    units: number;
    priceMinor: number;
  }>(
    `SELECT purchase_id AS purchaseId, reservation_id AS reservationId, sale_id AS saleId, units,
       price_minor AS priceMinor FROM purchase_items WHERE purchase_id IN (?)`,
    [purchaseIds.map(toBytes)],
  );
  return rows.map(({ purchaseId, reservationId, saleId, ...row }) => ({
    ...row,
    purchaseId: fromBytes(purchaseId),
    reservationId: fromBytes(reservationId),
    saleId: fromBytes(saleId),
  }));
}

async function holdReservations(tx: Tx, reservationIds: string[], customerId?: string): Promise<ReservationRow[]> {
  if (reservationIds.length === 0) return [];
  const owner = customerId === undefined ? [] : [toBytes(customerId)];
  const rows = await tx.rows<StoredReservation>(
    `SELECT ${reservationColumns} FROM reservations WHERE id IN (?) ${owner.length > 0 ? 'AND customer_id = ?' : ''}
     ORDER BY id FOR UPDATE`,
    [reservationIds.map(toBytes), ...owner],
  );
  return rows.map(toReservation);
}

/** What must hold of a reservation that is bound to a purchase, as SQL. */
export const bindGuards = {
  allocated: "state = 'allocated'",
  /** One purchase at a time pays for it. */
  free: 'purchase_id IS NULL',
};

async function insert(tx: Tx, purchase: PurchaseRow, items: PurchaseItem[]): Promise<void> {
  const purchaseId = toBytes(purchase.purchaseId);
  const customerId = toBytes(purchase.customerId);
  try {
    await tx.change(
      `INSERT INTO purchases (id, customer_id, state, amount_minor, currency, payment_token, fingerprint, charge_id,
         reason, attempts, version, created_at_ms, updated_at_ms) VALUES (?)`,
      [
        [
          purchaseId,
          customerId,
          purchase.state,
          purchase.amountMinor,
          purchase.currency,
          purchase.paymentToken,
          purchase.fingerprint,
          purchase.chargeId,
          purchase.reason,
          purchase.attempts,
          purchase.version,
          purchase.createdAtMs,
          purchase.updatedAtMs,
        ],
      ],
    );
  } catch (error) {
    if (isDuplicateKey(error)) throw new AlreadyRequested(error);
    throw error;
  }
  await tx.change('INSERT INTO purchase_items (purchase_id, reservation_id, sale_id, units, price_minor) VALUES ?', [
    items.map((item) => [purchaseId, toBytes(item.reservationId), toBytes(item.saleId), item.units, item.priceMinor]),
  ]);
  const bound = await tx.change(
    `UPDATE reservations SET purchase_id = ?
     WHERE id IN (?) AND customer_id = ? AND ${Object.values(bindGuards).join(' AND ')}`,
    [purchaseId, items.map((item) => toBytes(item.reservationId)), customerId],
  );
  if (bound !== items.length) throw new PurchaseConflict('reservations', items.length, bound);
}

async function move(tx: Tx, moves: PurchaseMove[], nowMs: number): Promise<void> {
  if (moves.length === 0) return;
  const row = 'SELECT ? AS id, ? AS state_before, ? AS state_after, ? AS charge_id, ? AS reason, ? AS keeps_token';
  const values = moves.flatMap(({ from, to, chargeId, reason }) => [
    toBytes(from.purchaseId),
    from.state,
    to,
    chargeId,
    reason,
    to === 'unknown' ? 1 : 0,
  ]);
  const moved = await tx.change(
    `UPDATE (${moves.map(() => row).join(' UNION ALL ')}) m STRAIGHT_JOIN purchases p ON p.id = m.id
     SET p.state = m.state_after, p.charge_id = m.charge_id, p.reason = m.reason, p.version = p.version + 1,
         p.payment_token = IF(m.keeps_token = 1, p.payment_token, NULL), p.updated_at_ms = ?
     WHERE p.state = m.state_before`,
    [...values, nowMs],
  );
  if (moved !== moves.length) throw new PurchaseConflict('purchases', moves.length, moved);
}

async function moveReservations(
  tx: Tx,
  set: string,
  from: 'allocated' | 'purchased',
  rows: ReservationRow[],
  purchaseIds: string[],
): Promise<void> {
  if (rows.length === 0) return;
  const moved = await tx.change(`UPDATE reservations SET ${set} WHERE id IN (?) AND purchase_id IN (?) AND state = ?`, [
    rows.map((row) => toBytes(row.reservationId)),
    purchaseIds.map(toBytes),
    from,
  ]);
  if (moved !== rows.length) throw new PurchaseConflict('reservations', rows.length, moved);
}
