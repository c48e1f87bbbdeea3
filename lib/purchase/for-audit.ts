/** What the audit trail keeps of a purchase: its state, its refunds, and the disputed refund that is decided. */
import type { PurchaseId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { findPurchase } from './purchase.store.ts';
import { readRefunds } from './refund.store.ts';
import { findRefundDispute } from './refund-dispute.store.ts';

/** A purchase as this transaction sees it; null if there is none. `refundKey` names the disputed refund to show with it. */
export async function readForAudit(tx: Tx, purchaseId: PurchaseId, refundKey?: string): Promise<object | null> {
  const purchase = await findPurchase(tx, purchaseId, undefined);
  if (!purchase) return null;
  const refunds = await readRefunds(tx, [purchaseId]);
  const dispute = refundKey === undefined ? undefined : await findRefundDispute(tx, purchaseId, refundKey);
  const { state, reason, amountMinor, currency, capturedMinor, capturedCurrency } = purchase;
  return {
    ...{ state, reason, amountMinor, currency, capturedMinor, capturedCurrency },
    refunds: refunds.map((one) => ({
      refundKey: one.refundKey,
      amountMinor: one.amountMinor,
      state: one.state,
      reason: one.reason,
      failure: one.failure,
      releases: one.releases,
    })),
    ...(dispute && {
      dispute: { refundKey: dispute.refundKey, state: dispute.state, amountMinor: dispute.amountMinor },
    }),
  };
}
