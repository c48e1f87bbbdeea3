/**
 * Refunding a captured purchase, ordered by an operator. The order is committed first; the pay worker then calls the
 * provider until it succeeds, and only then do the units return to the sale.
 */

import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { PurchaseId } from '#platform/kernel/ids.ts';
import { sendCommands } from './pay-queue.ts';
import type { PurchaseAccepted } from './purchase.shapes.ts';
import { lockPurchases, movePurchases, type PurchaseRow } from './purchase.store.ts';

/** Orders a refund. Idempotent. */
export async function refundPurchase(
  deps: Needs<'db' | 'clock' | 'queue'>,
  purchaseId: PurchaseId,
): Promise<PurchaseAccepted | Refusal> {
  const purchase = await deps.db.transaction(async (tx): Promise<PurchaseRow | Refusal> => {
    const [current] = await lockPurchases(tx, [purchaseId]);
    if (!current) return refuse('not_found', 'There is no such purchase.');
    if (current.state === 'refunding' || current.state === 'refunded') return current;
    if (current.state !== 'captured') {
      return refuse('illegal_state', `A purchase that is ${current.state} cannot be refunded.`, {
        state: current.state,
      });
    }
    const { chargeId } = current;
    await movePurchases(tx, [{ from: current, to: 'refunding', chargeId, reason: 'refund_ordered' }], deps.clock());
    return { ...current, state: 'refunding', version: current.version + 1 };
  });
  if (isRefusal(purchase)) return purchase;
  if (purchase.state === 'refunding') await sendCommands(deps, [purchase]);
  const { state, amountMinor, currency } = purchase;
  return { purchaseId, state, amount: { amountMinor, currency }, statusUrl: `/purchases/${purchaseId}` };
}
