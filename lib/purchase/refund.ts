/**
 * Giving a captured purchase back, on an operator's order. The order is committed first; the pay worker then asks the
 * provider until it is done, and only then do the units return to the sale.
 */
import type { Clock } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type Enqueue, sendCommands } from './pay-queue.ts';
import type { PurchaseAccepted } from './purchase.shapes.ts';
import type { PurchaseRow, PurchaseStore } from './store.ts';

/** What refunding needs from outside. */
export interface RefundPorts {
  readonly clock: Clock;
  readonly store: Pick<PurchaseStore, 'transaction'>;
  readonly enqueue: Enqueue;
}

/** Orders a refund. Ordering it again answers the same. */
export async function refundPurchase(ports: RefundPorts, purchaseId: string): Promise<PurchaseAccepted | Refusal> {
  const purchase = await ports.store.transaction(async (tx): Promise<PurchaseRow | Refusal> => {
    const [current] = await tx.purchases([purchaseId], true);
    if (!current) return refuse('not_found', 'There is no such purchase.');
    if (current.state === 'refunding' || current.state === 'refunded') return current;
    if (current.state !== 'captured') {
      return refuse('illegal_state', `Nothing was taken for a purchase that is ${current.state}.`, {
        state: current.state,
      });
    }
    const { chargeId } = current;
    await tx.move([{ from: current, to: 'refunding', chargeId, reason: 'refund_ordered' }], ports.clock());
    return { ...current, state: 'refunding', version: current.version + 1 };
  });
  if (isRefusal(purchase)) return purchase;
  if (purchase.state === 'refunding') await sendCommands(ports.enqueue, [purchase]);
  const { state, amountMinor, currency } = purchase;
  return { purchaseId, state, amount: { amountMinor, currency }, statusUrl: `/purchases/${purchaseId}` };
}
