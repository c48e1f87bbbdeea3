/**
 * The payment provider's interface for purchases, and the choice of the next call to it.
 *
 * Invariant I7: the purchase's id is the idempotency key of its only charge. The first attempt charges; every later one
 * queries the charge first, and charges again, under the same key, only if the provider has none.
 */
import type { PurchaseId } from '#platform/kernel/ids.ts';
import type { PurchaseRow } from './purchase.store.ts';

/** The provider's answer about a payment, or that there is none. */
export type PaymentAnswer =
  | { readonly outcome: 'captured'; readonly chargeId: string }
  | { readonly outcome: 'declined'; readonly reason: string }
  | { readonly outcome: 'refunded'; readonly chargeId: string }
  /** The provider has never heard of it. */
  | { readonly outcome: 'absent' }
  /** It may have been done: only a query, or the provider's webhook, will tell. */
  | { readonly outcome: 'unknown'; readonly reason: string }
  /** It has certainly not been done: no instance could be called, or the provider is too busy to try. */
  | { readonly outcome: 'unsent'; readonly reason: string };

/** A charge to be made. The purchase's id is the idempotency key, so it is charged once even if it is sent again. */
export interface ChargeOrder {
  readonly purchaseId: PurchaseId;
  readonly amountMinor: number;
  readonly currency: string;
  readonly paymentToken: string;
}

/** A charge to be refunded in full. */
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
  /** Refunds a charge. Idempotent. */
  refund(order: RefundOrder): Promise<PaymentAnswer>;
}

/**
 * After how long a purchase is declined whose attempts all failed and for which the provider has no charge. Outages are
 * shorter; this bounds failures that do not recover. If it is captured after all, it is refunded.
 */
export const giveUpAfterMs = 24 * 60 * 60_000;

/** Whether a purchase for which the provider has no charge has waited long enough to be declined. */
export function isGivenUp(purchase: Pick<PurchaseRow, 'createdAtMs'>, nowMs: number): boolean {
  return nowMs - purchase.createdAtMs > giveUpAfterMs;
}

/**
 * Makes the next call to the provider for an open purchase. `purchase.attempts` is the number of attempts before this one.
 * `hasTime` says whether another call would still end in time; if not, the answer is `unsent`. A failing provider is an
 * answer, not an error.
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
    if (chargeId === null) throw new Error(`purchase ${purchaseId} is to be refunded, but has no charge`);
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
