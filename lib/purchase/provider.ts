/**
 * The payment provider as purchases see it, and which question to put to it.
 *
 * Invariant I7: the purchase's id is the idempotency key of its only charge. The first attempt charges; every later one
 * asks first what became of the earlier, and charges again, under the same key, only if the provider knows of none.
 */
import type { PurchaseId } from '#platform/kernel/ids.ts';
import type { PurchaseRow } from './purchase.store.ts';

/** What the provider says of a payment, or that it says nothing. */
export type PaymentAnswer =
  | { readonly outcome: 'captured'; readonly chargeId: string }
  | { readonly outcome: 'declined'; readonly reason: string }
  | { readonly outcome: 'refunded'; readonly chargeId: string }
  /** The provider has never heard of it. */
  | { readonly outcome: 'absent' }
  /** It may have been done: only a question, or the provider's webhook, will tell. */
  | { readonly outcome: 'unknown'; readonly reason: string }
  /** It has certainly not been done: no instance could be called, or the provider is too busy to try. */
  | { readonly outcome: 'unsent'; readonly reason: string };

/** A charge to be made. The purchase's id is the idempotency key: however often it is sent, one charge is made. */
export interface ChargeOrder {
  readonly purchaseId: PurchaseId;
  readonly amountMinor: number;
  readonly currency: string;
  readonly paymentToken: string;
}

/** A charge to be given back in full. */
export interface RefundOrder {
  readonly purchaseId: PurchaseId;
  readonly chargeId: string;
}

/** The port; `payment-gateway.ts` is the adapter over HTTP. Nothing here throws: a failure is an answer too. */
export interface PaymentProvider {
  /** Charges once per purchase. */
  charge(order: ChargeOrder): Promise<PaymentAnswer>;
  /** What became of the charge of a purchase; `absent` if there is none. */
  find(purchaseId: PurchaseId): Promise<PaymentAnswer>;
  /** Gives a charge back, once however often it is asked. */
  refund(order: RefundOrder): Promise<PaymentAnswer>;
}

/**
 * After how long a purchase is given up that the provider has failed each time and, when asked, knows nothing of. An
 * outage is waited out; this bounds what no waiting will mend. Should it be captured after all, it is given back.
 */
export const giveUpAfterMs = 24 * 60 * 60_000;

/** Whether a purchase that the provider knows nothing of has waited long enough. */
export function isGivenUp(purchase: Pick<PurchaseRow, 'createdAtMs'>, nowMs: number): boolean {
  return nowMs - purchase.createdAtMs > giveUpAfterMs;
}

/**
 * Asks the provider what an open purchase needs to know next. `purchase.attempts` is how many attempts came before this
 * one. `hasTime` says whether another call would still end in time; if not, the answer is `unsent`. A failing provider is an answer.
 */
export async function askProvider(
  provider: PaymentProvider,
  purchase: PurchaseRow,
  nowMs: number,
  hasTime: () => boolean,
): Promise<PaymentAnswer> {
  const { purchaseId, amountMinor, currency, paymentToken, chargeId } = purchase;
  const late: PaymentAnswer = { outcome: 'unsent', reason: 'no time was left in this batch' };
  if (purchase.state === 'refunding') {
    if (chargeId === null) throw new Error(`purchase ${purchaseId} is to be given back, but has no charge`);
    return hasTime() ? provider.refund({ purchaseId, chargeId }) : late;
  }
  if (purchase.attempts > 0) {
    if (!hasTime()) return late;
    const found = await provider.find(purchaseId);
    if (found.outcome !== 'absent') return found;
    if (isGivenUp(purchase, nowMs)) return { outcome: 'declined', reason: 'provider_unavailable' };
  }
  if (!hasTime()) return late;
  return provider.charge({ purchaseId, amountMinor, currency, paymentToken: paymentToken ?? '' });
}
