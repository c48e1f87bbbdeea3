/**
 * The store of purchases: the only code that writes `purchases` and `purchase_items`. It decides nothing.
 *
 * Every statement that moves rows repeats in its WHERE the state they move from, and throws if not all of them moved.
 * Locks are taken in one order everywhere: sales by id, then purchases, then reservations.
 */

import {
  type ApiKeyId,
  type CustomerId,
  fromBytes,
  type PurchaseId,
  type ReservationId,
  type SaleId,
  toBytes,
} from '#platform/kernel/ids.ts';
import { isDuplicateKey, type Sql, type Tx } from '#platform/mysql/mysql.ts';
import type { ProviderName } from '#platform/payments/provider-names.ts';
import { openStates, type PurchaseState } from '#state/purchase-state.ts';
import type { BankAccount } from './purchase.shapes.ts';

/** A purchase's row. */
export interface PurchaseRow {
  readonly purchaseId: PurchaseId;
  readonly customerId: CustomerId;
  readonly state: PurchaseState;
  readonly amountMinor: number;
  readonly currency: string;
  /** The token of the means of payment; null once the outcome is known. */
  readonly paymentToken: string | null;
  readonly fingerprint: string;
  /** Who charges it; null until the first attempt unless its sales name one, and for purchases of older builds. */
  readonly provider: ProviderName | null;
  readonly chargeId: string | null;
  readonly reason: string | null;
  /** How many attempts were made with the provider. */
  readonly attempts: number;
  /** How often the provider knew of no charge after failed attempts, weighted (`absencesAtMost`). */
  readonly absences: number;
  /** What the provider said that it captured; null until then, and for purchases of older builds. */
  readonly capturedMinor: number | null;
  readonly capturedCurrency: string | null;
  /** Where the customer confirms the payment, and until when; null unless it is `requires_action`. */
  readonly actionUrl: string | null;
  readonly actionDeadlineMs: number | null;
  /** The account to transfer to, if that is the action. */
  readonly actionAccount: BankAccount | null;
  readonly version: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** One line of an order: a reservation at the price of its sale. */
export interface PurchaseItem {
  readonly purchaseId: PurchaseId;
  readonly reservationId: ReservationId;
  readonly saleId: SaleId;
  readonly units: number;
  /** Of one unit. */
  readonly priceMinor: number;
}

/** A move of a purchase. The row must still be in the state of `from`. */
export interface PurchaseMove {
  readonly from: PurchaseRow;
  readonly to: PurchaseState;
  readonly chargeId: string | null;
  readonly reason: string | null;
  /** What the provider captured, if that became known with this move. */
  readonly captured?: { readonly amountMinor: number; readonly currency: string } | undefined;
  /** The customer's action, for a move to `requires_action`. */
  readonly action?: Action | undefined;
}

/** What a customer must do for a payment: where, and until when. */
export interface Action {
  readonly url: string;
  readonly deadlineMs: number;
  /** The account to transfer to, if that is what must be done. */
  readonly transferTo: BankAccount | null;
}

/** Thrown when fewer rows moved than were locked: the transaction is rolled back. */
export class PurchaseConflict extends Error {
  constructor(what: string, wanted: number, moved: number) {
    super(`${wanted - moved} of ${wanted} ${what} did not move`);
    this.name = 'PurchaseConflict';
  }
}

/** Thrown when another request has written the purchase with this id in the meantime. */
export class AlreadyRequested extends Error {
  constructor(cause: unknown) {
    super('this purchase was requested elsewhere', { cause });
    this.name = 'AlreadyRequested';
  }
}

const purchaseColumns = `id, customer_id AS customerId, state, amount_minor AS amountMinor, currency,
  payment_token AS paymentToken, fingerprint, provider, charge_id AS chargeId, reason, attempts, absences,
  captured_minor AS capturedMinor, captured_currency AS capturedCurrency,
  action_url AS actionUrl, action_deadline_ms AS actionDeadlineMs, action_account AS actionAccount, version,
  created_at_ms AS createdAtMs, updated_at_ms AS updatedAtMs`;

type StoredPurchase = Omit<PurchaseRow, 'purchaseId' | 'customerId' | 'actionAccount'> & {
  id: Buffer;
  customerId: Buffer;
  actionAccount: string | null;
};

/** A purchase; with an owner, only if it is this customer's. */
export async function findPurchase(
  sql: Sql,
  purchaseId: PurchaseId,
  customerId: CustomerId | undefined,
): Promise<PurchaseRow | undefined> {
  const owner = customerId === undefined ? [] : [toBytes(customerId)];
  const where = owner.length > 0 ? 'id = ? AND customer_id = ?' : 'id = ?';
  return (await select(sql, where, [toBytes(purchaseId), ...owner]))[0];
}

/** Purchases of this customer after the position `after`, newest first. */
export function listOwnPurchases(
  sql: Sql,
  customerId: CustomerId,
  after: readonly [createdAtMs: number, purchaseId: PurchaseId] | undefined,
  limit: number,
): Promise<PurchaseRow[]> {
  const older = after ? 'AND (created_at_ms < ? OR (created_at_ms = ? AND id < ?))' : '';
  return select(sql, `customer_id = ? ${older} ORDER BY created_at_ms DESC, id DESC LIMIT ?`, [
    toBytes(customerId),
    ...(after ? [after[0], after[0], toBytes(after[1])] : []),
    limit,
  ]);
}

/** Purchases whose outcome is outstanding and that were not updated since `beforeMs`, oldest first. */
export function listLeftOpen(sql: Sql, beforeMs: number, limit: number): Promise<PurchaseRow[]> {
  return select(sql, 'state IN (?) AND updated_at_ms <= ? ORDER BY updated_at_ms LIMIT ?', [
    openStates,
    beforeMs,
    limit,
  ]);
}

/** The purchase that was paid for with this charge, as its provider names it. */
export async function findByCharge(sql: Sql, chargeId: string): Promise<PurchaseId | undefined> {
  const [row] = await sql.rows<{ id: Buffer }>('SELECT id FROM purchases WHERE charge_id = ? LIMIT 1', [chargeId]);
  return row && fromBytes(row.id);
}

/** Purchases in the order of their ids, locked until the transaction ends. */
export function lockPurchases(tx: Tx, purchaseIds: readonly PurchaseId[]): Promise<PurchaseRow[]> {
  return select(tx, 'id IN (?) ORDER BY id FOR UPDATE', [purchaseIds.map(toBytes)]);
}

async function select(sql: Sql, where: string, values: unknown[]): Promise<PurchaseRow[]> {
  const rows = await sql.rows<StoredPurchase>(`SELECT ${purchaseColumns} FROM purchases WHERE ${where}`, values);
  return rows.map(({ id, customerId, actionAccount, ...row }) => ({
    ...row,
    actionAccount: actionAccount === null ? null : (JSON.parse(actionAccount) as BankAccount),
    purchaseId: fromBytes(id),
    customerId: fromBytes(customerId),
  }));
}

/** The items of purchases. They never change. */
export async function readItems(sql: Sql, purchaseIds: readonly PurchaseId[]): Promise<PurchaseItem[]> {
  if (purchaseIds.length === 0) return [];
  const rows = await sql.rows<{
    purchaseId: Buffer;
    reservationId: Buffer;
    saleId: Buffer;
    units: number;
    priceMinor: number;
  }>(
    `SELECT purchase_id AS purchaseId, reservation_id AS reservationId, sale_id AS saleId, units,
       price_minor AS priceMinor FROM purchase_items FORCE INDEX (PRIMARY) WHERE purchase_id IN (?)`,
    [purchaseIds.map(toBytes)],
  );
  return rows.map(({ purchaseId, reservationId, saleId, ...row }) => ({
    ...row,
    purchaseId: fromBytes(purchaseId),
    reservationId: fromBytes(reservationId),
    saleId: fromBytes(saleId),
  }));
}

/** How many purchases with items of a sale are in one of these states. Reads every purchase in them: few may be. */
export async function countInStates(sql: Sql, saleId: SaleId, states: readonly PurchaseState[]): Promise<number> {
  const [row] = await sql.rows<{ purchases: number }>(
    `SELECT COUNT(*) AS purchases FROM purchases p
     WHERE p.state IN (?) AND EXISTS (SELECT 1 FROM purchase_items i WHERE i.purchase_id = p.id AND i.sale_id = ?)`,
    [states, toBytes(saleId)],
  );
  return Number(row?.purchases ?? 0);
}

/** Writes a purchase, and the API key that asked for it. Throws `AlreadyRequested` if there is one with this id. */
export async function insertPurchase(
  tx: Tx,
  purchase: PurchaseRow,
  items: readonly PurchaseItem[],
  keyId?: ApiKeyId,
): Promise<void> {
  const purchaseId = toBytes(purchase.purchaseId);
  const customerId = toBytes(purchase.customerId);
  try {
    await tx.change(
      `INSERT INTO purchases (id, customer_id, state, amount_minor, currency, payment_token, fingerprint, provider, charge_id,
         reason, attempts, absences, version, created_at_ms, updated_at_ms, key_id) VALUES (?)`,
      [
        [
          purchaseId,
          customerId,
          purchase.state,
          purchase.amountMinor,
          purchase.currency,
          purchase.paymentToken,
          purchase.fingerprint,
          purchase.provider,
          purchase.chargeId,
          purchase.reason,
          purchase.attempts,
          purchase.absences,
          purchase.version,
          purchase.createdAtMs,
          purchase.updatedAtMs,
          keyId === undefined ? null : toBytes(keyId),
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
}

/** Counts one more attempt for each purchase, which is made with this provider. */
export async function countAttempt(
  tx: Tx,
  purchaseIds: readonly PurchaseId[],
  provider: ProviderName,
  nowMs: number,
): Promise<void> {
  await tx.change('UPDATE purchases SET attempts = attempts + 1, provider = ?, updated_at_ms = ? WHERE id IN (?)', [
    provider,
    nowMs,
    purchaseIds.map(toBytes),
  ]);
}

/** Adds to each purchase's `absences`: the provider knew of no charge. */
export async function countAbsence(tx: Tx, purchaseIds: readonly PurchaseId[], absence: number): Promise<void> {
  await tx.change('UPDATE purchases SET absences = absences + ? WHERE id IN (?)', [absence, purchaseIds.map(toBytes)]);
}

/** Ends the time for the customer's action now, because the customer gave the payment up. */
export async function endAction(tx: Tx, purchaseId: PurchaseId, reason: string, nowMs: number): Promise<void> {
  const ended = await tx.change(
    "UPDATE purchases SET action_deadline_ms = ?, reason = ? WHERE id = ? AND state = 'requires_action'",
    [nowMs, reason, toBytes(purchaseId)],
  );
  if (ended !== 1) throw new PurchaseConflict('purchases', 1, ended);
}

/** Moves purchases from one state to another; the means of payment is erased once the outcome is known. */
export async function movePurchases(tx: Tx, moves: readonly PurchaseMove[], nowMs: number): Promise<void> {
  if (moves.length === 0) return;
  const row = `SELECT ? AS id, ? AS state_before, ? AS state_after, ? AS charge_id, ? AS reason, ? AS captured_minor,
    ? AS captured_currency, ? AS action_url, ? AS action_deadline_ms, ? AS action_account, ? AS keeps_token`;
  const values = moves.flatMap(({ from, to, chargeId, reason, captured, action }) => [
    toBytes(from.purchaseId),
    from.state,
    to,
    chargeId,
    reason,
    captured?.amountMinor ?? from.capturedMinor,
    captured?.currency ?? from.capturedCurrency,
    action?.url ?? null,
    action?.deadlineMs ?? null,
    action?.transferTo ? JSON.stringify(action.transferTo) : null,
    to === 'requested' || to === 'unknown' ? 1 : 0,
  ]);
  const moved = await tx.change(
    `UPDATE (${moves.map(() => row).join(' UNION ALL ')}) m STRAIGHT_JOIN purchases p ON p.id = m.id
     SET p.state = m.state_after, p.charge_id = m.charge_id, p.reason = m.reason, p.version = p.version + 1,
         p.captured_minor = m.captured_minor, p.captured_currency = m.captured_currency,
         p.action_url = m.action_url, p.action_deadline_ms = m.action_deadline_ms,
         p.action_account = m.action_account,
         p.payment_token = IF(m.keeps_token = 1, p.payment_token, NULL), p.updated_at_ms = ?
     WHERE p.state = m.state_before`,
    [...values, nowMs],
  );
  if (moved !== moves.length) throw new PurchaseConflict('purchases', moves.length, moved);
}
