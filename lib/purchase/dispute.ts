/**
 * Deciding a dispute: the provider captured something other than the order, and an operator says what becomes of it.
 */

import type { WriteNeeds } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { PurchaseId } from '#platform/kernel/ids.ts';
import { sendCommands } from './pay-queue.ts';
import type { DecideDispute, PurchaseAccepted } from './purchase.shapes.ts';
import { findPurchase } from './purchase.store.ts';
import { toAccepted } from './read.ts';
import { settlePurchases } from './settle.ts';

/**
 * Decides a dispute: `accept` makes it a purchase for what was captured, `refund` gives the money back and frees the units.
 * Refuses with `illegal_state` unless it is disputed, if its units can no longer be bought, or if the opposite was decided
 * meanwhile.
 */
export async function decideDispute(
  deps: WriteNeeds & Needs<'queue'>,
  purchaseId: PurchaseId,
  { decision }: DecideDispute,
): Promise<PurchaseAccepted | Refusal> {
  const current = await findPurchase(deps.db, purchaseId, undefined);
  if (!current) return refuse('not_found', 'There is no such purchase.');
  const { state: before } = current;
  if (before !== 'disputed')
    return refuse('illegal_state', `A purchase that is ${before} is not disputed.`, { state: before });
  const outcome = decision === 'accept' ? 'accepted' : 'rejected';
  const decided = (await settlePurchases(deps, [{ purchaseId, answer: { outcome } }])).get(purchaseId);
  if (!decided || decided.state === 'disputed') {
    return refuse('illegal_state', 'Its units are no longer there to be bought; refund it.', { state: 'disputed' });
  }
  const { state } = decided;
  // Decisions that arrive together are carried out one by one; the others are told what was decided.
  const isAccepted = state === 'captured';
  if (isAccepted !== (decision === 'accept')) {
    return refuse('illegal_state', 'Another decision about it came first.', { state });
  }
  if (state === 'refunding') await sendCommands(deps, [decided]);
  return toAccepted(decided);
}
