/**
 * The payment provider's interface for purchases, and the choice of the next call to it.
 *
 * Invariant I7: the purchase's id is the idempotency key of its only charge. The first attempt charges; every later one
 * queries the charge first, and charges again, under the same key, only if the provider has none. A payment that waits for
 * its customer is asked about until its deadline (action.ts), and then stopped at the provider.
 */
import type { PurchaseId } from '#platform/kernel/ids.ts';
import { providerCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { actionGraceMs, reasonToStop } from './action.ts';
import type { BankAccount } from './purchase.shapes.ts';
import type { PurchaseRow } from './purchase.store.ts';
import type { RefundRow } from './refund.store.ts';

/** What the provider says that it captured; compared with the order before it counts as paid (invariant I13). */
export interface Capture {
  readonly chargeId: string;
  readonly amountMinor: number;
  readonly currency: string;
  /** Our reference for the order: the purchase's id. */
  readonly reference: string;
}

/** Money that the provider has given back. */
export interface GivenBack {
  readonly chargeId: string;
  /** Null: all that was captured. */
  readonly amountMinor: number | null;
  /** Which of our refunds it is; null if it is none of ours, absent if the provider does not say. */
  readonly refundKey?: string | null | undefined;
  /** What it is in, if the provider says so. */
  readonly currency?: string | undefined;
  /** The reference of the order, if the provider names it: the purchase's id. */
  readonly reference?: string | undefined;
  /** The provider's id of the refund. */
  readonly refundId?: string | undefined;
}

/** The provider's answer about a payment, or that there is none. */
export type PaymentAnswer =
  | ({ readonly outcome: 'captured' } & Capture)
  | { readonly outcome: 'declined'; readonly reason: string }
  | ({ readonly outcome: 'refunded' } & GivenBack)
  /** The provider refuses the refund, and would refuse the same request again. */
  | {
      readonly outcome: 'refused';
      readonly refundKey: string;
      readonly reason: string;
      /** What else the webhook says that tells of it, and how many refusals came before: absent if it answers our request. */
      readonly told?: (GivenBack & { readonly refusals: number }) | undefined;
    }
  /** The provider waits for the customer, at this address, until this time; null if it does not say. */
  | {
      readonly outcome: 'requires_action';
      readonly url: string;
      readonly deadlineMs: number | null;
      /** The account to transfer to, if that is what the customer must do. */
      readonly transferTo?: BankAccount | undefined;
      /** The provider's id of the charge to be, if it has one already. */
      readonly chargeId?: string | undefined;
    }
  /** The time for the customer's action is over and the provider cannot be asked: the units are released. */
  | { readonly outcome: 'overdue'; readonly reason: string }
  /** The provider has never heard of it. */
  | { readonly outcome: 'absent' }
  /**
   * It may have been done: only a query, or the provider's webhook, will tell. `afterAbsence` says that just before, the
   * provider knew of no charge.
   */
  | { readonly outcome: 'unknown'; readonly reason: string; readonly afterAbsence?: boolean }
  /** It has certainly not been done: no instance could be called, or the provider is too busy to try. */
  | { readonly outcome: 'unsent'; readonly reason: string; readonly afterAbsence?: boolean };

/** A charge to be made. The purchase's id is the idempotency key, so it is charged once even if it is sent again. */
export interface ChargeOrder {
  readonly purchaseId: PurchaseId;
  readonly amountMinor: number;
  readonly currency: string;
  readonly paymentToken: string;
}

/** Money to be given back. Purchase, key and number of refusals make the idempotency key: it is given back once. */
export interface RefundOrder extends Pick<RefundRow, 'purchaseId' | 'refundKey' | 'amountMinor' | 'refusals'> {
  readonly chargeId: string;
  /** What was captured in. */
  readonly currency: string;
  /** Where the money goes, if an operator has said so, for a provider that needs to be told. */
  readonly account?: BankAccount | null | undefined;
}

/**
 * The port; `payment-gateway.ts` is the adapter for the sandbox's protocol over HTTP, `stripe-payments.ts` that for Stripe, and
 * `toss-payments.ts` that for Toss Payments. Nothing here throws: a failure is an answer too. `chargeId` is what the provider
 * called the charge, if it has said so.
 */
export interface PaymentProvider {
  /** Charges once per purchase. */
  charge(order: ChargeOrder): Promise<PaymentAnswer>;
  /**
   * What became of the charge of a purchase; `absent` if there is none. The token is what the charge was, or would be, made with,
   * for a provider at which it names the payment.
   */
  find(purchaseId: PurchaseId, chargeId?: string | null, paymentToken?: string | null): Promise<PaymentAnswer>;
  /**
   * Stops the payment of a purchase that waits for its customer. Answers what became of it: `declined` if it was stopped,
   * `captured` if the customer was faster, `absent` if there is none. Repeating it is harmless.
   */
  cancel(purchaseId: PurchaseId, reason: string, chargeId?: string | null): Promise<PaymentAnswer>;
  /**
   * Sees to it that a purchase which the provider knows no charge of cannot be charged any more. Answers `absent` if that is so.
   * A provider lacks it whose `find` misses nothing but a request that is still on its way.
   */
  preclude?(order: Omit<ChargeOrder, 'paymentToken'>): Promise<PaymentAnswer>;
  /** Gives back a charge or a part of it, once however often it is called. */
  refund(order: RefundOrder): Promise<PaymentAnswer>;
}

/**
 * After how long a purchase is declined whose attempts all failed and for which the provider has no charge. Outages are
 * shorter; this bounds failures that do not recover. If it is captured after all, it is refunded.
 */
export const giveUpAfterMs = 24 * 60 * 60_000;

/**
 * The limit of `absences`. Before each new attempt the provider is asked, and its “no charge” after a failed attempt counts:
 * the provider works, so it is the card that fails, and at the limit the units go to another customer. An attempt that got a
 * bad answer counts 1: with the pauses between attempts, seven take about two minutes. An attempt that did not get through
 * says less about the card and counts a quarter, so a busy provider gets a quarter of an hour. An outage does not count.
 */
export const absencesAtMost = 28;

/** How much an answer adds to the absences of its purchase. */
export function absenceIn({ outcome, afterAbsence }: { outcome: string; afterAbsence?: boolean | undefined }): number {
  if (!afterAbsence) return 0;
  return outcome === 'unknown' ? 4 : 1;
}

/**
 * How long ago the last attempt must have been before "no charge" is believed for good: a request that was cut off may
 * reach the provider a moment later.
 */
export const absenceCountsAfterMs = 2 * providerCallTimeoutMs;

/** Whether a purchase of which the provider knows no charge has waited long enough. */
export function isGivenUp(purchase: Pick<PurchaseRow, 'createdAtMs' | 'absences'>, nowMs: number): boolean {
  return purchase.absences >= absencesAtMost || nowMs - purchase.createdAtMs > giveUpAfterMs;
}

/** A purchase with everything on which its next question depends. */
export interface AskedPurchase extends PurchaseRow {
  /** The refund to ask for, if the purchase is `refunding`. */
  readonly refund?: RefundRow | undefined;
  /** Whether all of its sales were called off: then it must not be charged. */
  readonly calledOff?: boolean | undefined;
}

/**
 * Asks the provider what an open purchase needs to know next. `purchase.attempts` is how many attempts came before this
 * one. `hasTime` says whether another call would still end in time; if not, the answer is `unsent`. A failing provider is
 * an answer. A purchase whose sales were called off is not charged (invariant I13).
 */
export async function askProvider(
  provider: PaymentProvider,
  purchase: AskedPurchase,
  nowMs: number,
  hasTime: () => boolean,
): Promise<PaymentAnswer> {
  const { purchaseId, amountMinor, currency, paymentToken, chargeId, calledOff, refund } = purchase;
  const late: PaymentAnswer = { outcome: 'unsent', reason: 'no time was left in this batch' };
  if (purchase.state === 'refunding') {
    if (chargeId === null) throw new Error(`purchase ${purchaseId} is to be given back, but has no charge`);
    if (!refund) throw new Error(`purchase ${purchaseId} is to be given back, but no refund is pending`);
    const { refundKey, refusals, account } = refund;
    // Only units return: nothing to ask the provider for.
    if (refund.amountMinor === 0) return { outcome: 'refunded', chargeId, amountMinor: 0, refundKey };
    const captured = purchase.capturedCurrency ?? currency;
    const order = {
      purchaseId,
      chargeId,
      refundKey,
      refusals,
      amountMinor: refund.amountMinor,
      currency: captured,
      account,
    };
    return hasTime() ? provider.refund(order) : late;
  }
  if (purchase.state === 'requires_action') return hasTime() ? askAboutAction(provider, purchase, nowMs) : late;
  let afterAbsence = false;
  if (purchase.attempts > 0) {
    if (!hasTime()) return late;
    const found = await provider.find(purchaseId, chargeId, paymentToken);
    if (found.outcome === 'requires_action' && calledOff) {
      return provider.cancel(purchaseId, 'sale_cancelled', found.chargeId);
    }
    if (found.outcome !== 'absent') return found;
    if (calledOff || isGivenUp(purchase, nowMs)) {
      if (nowMs - purchase.updatedAtMs < absenceCountsAfterMs) {
        return { outcome: 'unsent', reason: 'the last attempt may still be on its way' };
      }
      if (provider.preclude) {
        if (!hasTime()) return late;
        const precluded = await provider.preclude({ purchaseId, amountMinor, currency });
        if (precluded.outcome !== 'absent') return precluded;
      }
      return { outcome: 'declined', reason: calledOff ? 'sale_cancelled' : 'provider_unavailable' };
    }
    afterAbsence = true;
  } else if (calledOff) {
    return { outcome: 'declined', reason: 'sale_cancelled' };
  }
  if (!hasTime()) return late;
  const answer = await provider.charge({ purchaseId, amountMinor, currency, paymentToken: paymentToken ?? '' });
  const isFailure = answer.outcome === 'unknown' || answer.outcome === 'unsent';
  return isFailure && afterAbsence ? { ...answer, afterAbsence } : answer;
}

/**
 * Asks what became of a payment that waits for its customer, or stops it when its time is over. It is never charged again:
 * that would ask the customer a second time.
 */
async function askAboutAction(
  provider: PaymentProvider,
  purchase: AskedPurchase,
  nowMs: number,
): Promise<PaymentAnswer> {
  const { purchaseId, chargeId } = purchase;
  const reason = reasonToStop(purchase, nowMs);
  if (reason === undefined) return provider.find(purchaseId, chargeId);
  const answer = await provider.cancel(purchaseId, reason, chargeId);
  switch (answer.outcome) {
    case 'declined':
    case 'absent':
      return { outcome: 'declined', reason };
    case 'unknown':
    case 'unsent':
    case 'requires_action': {
      const isOverdue = nowMs >= (purchase.actionDeadlineMs ?? 0) + actionGraceMs;
      return isOverdue ? { outcome: 'overdue', reason } : answer;
    }
    default:
      return answer;
  }
}
