/**
 * Giving up: a customer ends a payment that waits for an action of theirs, before its time is over.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, PurchaseId } from '#platform/kernel/ids.ts';
import { awaitedStates } from '#state/purchase-state.ts';
import { givenUp } from './action.ts';
import { sendCommands } from './pay-queue.ts';
import type { PurchaseAccepted } from './purchase.shapes.ts';
import { endAction, lockPurchases, type PurchaseRow } from './purchase.store.ts';
import { toAccepted } from './read.ts';

/**
 * Gives up a payment that waits for an action of its customer. It is stopped at the provider, and its units are free once
 * the provider confirms; if the customer has confirmed the payment meanwhile, it is a purchase. Repeating it changes
 * nothing. Refuses with `not_found` for another customer's purchase, `purchase_in_progress` while only the provider can say
 * what becomes of it, and `already_resolved`.
 */
export async function giveUpPurchase(
  deps: Needs<'db' | 'clock' | 'queue'>,
  customerId: CustomerId,
  purchaseId: PurchaseId,
): Promise<PurchaseAccepted | Refusal> {
  const given = await deps.db.transaction(async (tx): Promise<PurchaseRow | Refusal> => {
    const [purchase] = await lockPurchases(tx, [purchaseId]);
    if (purchase?.customerId !== customerId) return refuse('not_found', 'There is no such purchase of yours.');
    const { state, reason } = purchase;
    if (reason === givenUp && ['requires_action', 'declined'].includes(state)) return purchase;
    if (state !== 'requires_action') {
      return awaitedStates.includes(state)
        ? refuse('purchase_in_progress', 'The payment is with the provider and needs no action from you.', {
            purchaseId,
          })
        : refuse('already_resolved', `The purchase is ${state}.`);
    }
    await endAction(tx, purchaseId, givenUp, deps.clock());
    return purchase;
  });
  if (isRefusal(given)) return given;
  if (given.state === 'requires_action') await sendCommands(deps, [given]);
  return toAccepted(given);
}
