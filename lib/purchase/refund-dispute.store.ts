/**
 * The store of disputed refunds: the only code that writes `refund_disputes`. It decides nothing. Its
 * callers hold the lock on the purchase's row when they write.
 */
import { fromBytes, type PurchaseId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { disputeStates } from './refund-dispute.table.ts';

/** A refund that the provider told of and that contradicts its purchase. */
export interface RefundDispute {
  readonly purchaseId: PurchaseId;
  /** The key that the refund has, or would get, among those of the purchase. */
  readonly refundKey: string;
  readonly state: (typeof disputeStates)[number];
  readonly reason: string;
  readonly chargeId: string;
  /** Null: all that was captured. */
  readonly amountMinor: number | null;
  readonly currency: string | null;
  readonly reference: string | null;
  readonly toldAtMs: number;
  readonly decidedAtMs: number | null;
}

/** A dispute that waits for an operator: what the provider said, and what was ordered. */
export interface OpenDispute extends Omit<RefundDispute, 'state' | 'decidedAtMs'> {
  /** The key of the refund; empty for the capture itself. */
  readonly refundKey: string;
  readonly orderedMinor: number;
  readonly orderedCurrency: string;
}

/** The dispute about one refund, decided or not. */
export async function findRefundDispute(
  sql: Sql,
  purchaseId: PurchaseId,
  refundKey: string,
): Promise<RefundDispute | undefined> {
  const [row] = await sql.rows<Omit<RefundDispute, 'purchaseId'>>(
    `SELECT refund_key AS refundKey, state, reason, charge_id AS chargeId, amount_minor AS amountMinor, currency, reference,
       told_at_ms AS toldAtMs, decided_at_ms AS decidedAtMs
     FROM refund_disputes WHERE purchase_id = ? AND refund_key = ?`,
    [toBytes(purchaseId), refundKey],
  );
  return row && { ...row, purchaseId };
}

/** Writes those disputes that are not known yet, and returns them: the provider may say the same thing often. */
export async function insertNewDisputes(tx: Tx, disputes: readonly RefundDispute[]): Promise<RefundDispute[]> {
  const fresh: RefundDispute[] = [];
  for (const dispute of disputes) {
    if (!(await findRefundDispute(tx, dispute.purchaseId, dispute.refundKey))) fresh.push(dispute);
  }
  if (fresh.length === 0) return [];
  await tx.change(
    `INSERT INTO refund_disputes (purchase_id, refund_key, state, reason, charge_id, amount_minor, currency, reference,
       told_at_ms, decided_at_ms) VALUES ?`,
    [
      fresh.map((one) => [
        toBytes(one.purchaseId),
        one.refundKey,
        one.state,
        one.reason,
        one.chargeId,
        one.amountMinor,
        one.currency,
        one.reference,
        one.toldAtMs,
        one.decidedAtMs,
      ]),
    ],
  );
  return fresh;
}

/** Decides an open dispute. False if it is not open any more. */
export async function closeDispute(
  tx: Tx,
  { purchaseId, refundKey }: Pick<RefundDispute, 'purchaseId' | 'refundKey'>,
  state: 'accepted' | 'rejected',
  nowMs: number,
): Promise<boolean> {
  const closed = await tx.change(
    "UPDATE refund_disputes SET state = ?, decided_at_ms = ? WHERE purchase_id = ? AND refund_key = ? AND state = 'open'",
    [state, nowMs, toBytes(purchaseId), refundKey],
  );
  return closed === 1;
}

/** Where a page of disputes begins. */
export type DisputePosition = readonly [purchaseId: PurchaseId, refundKey: string];

/** Disputed captures and disputed refunds that wait for an operator, after a position in the order of their keys. */
export async function listOpenDisputes(
  sql: Sql,
  after: DisputePosition | undefined,
  limit: number,
): Promise<OpenDispute[]> {
  const onward = (key: string) => (after ? `AND (p.id > ? OR (p.id = ? AND ${key} > ?))` : '');
  const position = after ? [toBytes(after[0]), toBytes(after[0]), after[1]] : [];
  const rows = await sql.rows<Omit<OpenDispute, 'purchaseId'> & { purchaseId: Buffer }>(
    `SELECT p.id AS purchaseId, '' AS refundKey, p.reason, p.charge_id AS chargeId, p.captured_minor AS amountMinor,
       p.captured_currency AS currency, NULL AS reference, p.updated_at_ms AS toldAtMs,
       p.amount_minor AS orderedMinor, p.currency AS orderedCurrency
     FROM purchases p WHERE p.state = 'disputed' ${onward("''")}
     UNION ALL
     SELECT d.purchase_id, d.refund_key, d.reason, d.charge_id, d.amount_minor, d.currency, d.reference, d.told_at_ms,
       p.amount_minor, p.currency
     FROM refund_disputes d JOIN purchases p ON p.id = d.purchase_id WHERE d.state = 'open' ${onward('d.refund_key')}
     ORDER BY purchaseId, refundKey LIMIT ?`,
    [...position, ...position, limit],
  );
  return rows.map((row) => ({ ...row, purchaseId: fromBytes(row.purchaseId) }));
}
