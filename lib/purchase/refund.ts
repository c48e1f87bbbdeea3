/**
 * Giving a captured purchase back, on an operator's order. The order is committed first, as a row for each refund; the pay
 * worker then asks the provider until it has answered, and only then do the units return to the sale.
 *
 * Invariant I13: what was given back and what is pending never exceed what was captured.
 */

import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { PurchaseId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { sendCommands } from './pay-queue.ts';
import type { PurchaseAccepted } from './purchase.shapes.ts';
import { lockPurchases, movePurchases, type PurchaseRow } from './purchase.store.ts';
import { insertRefunds, readRefunds, updateRefunds } from './refund.store.ts';
import { leftToRefund, newRefund } from './refund-rules.ts';

/**
 * Orders back all that is left of a purchase, its units included. Ordering it again answers the same; after the provider
 * has refused a refund, it is the order to try again.
 */
export async function refundPurchase(
  deps: Needs<'db' | 'clock' | 'queue'>,
  purchaseId: PurchaseId,
): Promise<PurchaseAccepted | Refusal> {
  const purchase = await deps.db.transaction(async (tx): Promise<PurchaseRow | Refusal> => {
    const [current] = await lockPurchases(tx, [purchaseId]);
    if (!current) return refuse('not_found', 'There is no such purchase.');
    const refusal = refuseUnlessPaid(current);
    if (refusal) return refusal;
    if (current.state === 'refunded' || current.state === 'refunding') return current;
    const nowMs = deps.clock();
    const refunds = await readRefunds(tx, [purchaseId]);
    const failed = refunds.filter((one) => one.state === 'failed');
    await updateRefunds(
      tx,
      failed.map((one) => ({ ...one, ...{ state: 'pending', failure: null, updatedAtMs: nowMs } })),
    );
    if (failed.length === 0) {
      const reason = 'refund_ordered';
      const amountMinor = leftToRefund(current, refunds);
      await insertRefunds(tx, [newRefund({ purchaseId, refundKey: 'refund', amountMinor, reason }, nowMs)]);
    }
    return orderBack(tx, current, current.reason ?? 'refund_ordered', nowMs);
  });
  return isRefusal(purchase) ? purchase : answer(deps, purchase);
}

/** Why nothing can be given back of a purchase, or undefined if something can. */
function refuseUnlessPaid({ state }: PurchaseRow): Refusal | undefined {
  if (['captured', 'refunding', 'refunded', 'refund_failed'].includes(state)) return undefined;
  if (state === 'disputed') return refuse('illegal_state', 'Decide the dispute about this purchase first.', { state });
  return refuse('illegal_state', `Nothing was taken for a purchase that is ${state}.`, { state });
}

/** Moves a purchase whose row is held to `refunding`; its pending refunds must have been written. */
async function orderBack(tx: Tx, current: PurchaseRow, reason: string, nowMs: number): Promise<PurchaseRow> {
  const { chargeId } = current;
  await movePurchases(tx, [{ from: current, to: 'refunding', chargeId, reason }], nowMs);
  return { ...current, state: 'refunding', reason, version: current.version + 1 };
}

async function answer(deps: Needs<'queue'>, purchase: PurchaseRow): Promise<PurchaseAccepted> {
  if (purchase.state === 'refunding') await sendCommands(deps, [purchase]);
  const { purchaseId, state, amountMinor, currency } = purchase;
  return { purchaseId, state, amount: { amountMinor, currency }, statusUrl: `/purchases/${purchaseId}` };
}
