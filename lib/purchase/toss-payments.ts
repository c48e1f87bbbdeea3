/**
 * Toss Payments as the payment provider: the customer allows a payment in Toss's window, which gives it a `paymentKey`, our
 * payment token; the server confirms it. A virtual account is confirmed as well, and then waits for its deposit.
 *
 * Invariants. I7: a payment can be confirmed once, and only one whose order is this purchase counts: Toss's `orderId` is the
 * purchase's id. So the payment of another order, or of another purchase, pays for nothing here, and a lost answer is asked for
 * and never charged again. I13: amount, currency and reference are read back as they are, for `settle.ts` to compare. A refund
 * carries its key as its reason and is looked for before it is made, so that it is made once even after Toss has forgotten its
 * Idempotency-Key (15 days).
 *
 * Toss says by its code, not by its status, whether a payment is refused: some refusals of a card are 403, and what will pass
 * by itself is 400. A 4xx opens no breaker; a timeout, a broken connection, 5xx and 429 do.
 */
import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import type { PurchaseId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { NotRegistered } from '#platform/kernel/registry.ts';
import { providerCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { Busy, exchange, NoAnswer, Unclear } from '#platform/payments/exchange.ts';
import { takesCurrency } from '#platform/payments/provider-names.ts';
import { sharedBreaker } from '#platform/redis/shared-circuit-breaker.ts';
import { BreakerOpen } from '#platform/resilience/circuit-breaker.ts';
import { chargeKey, reasonCharacters, refundAskedUnder, refundIdempotencyKey } from './payment-gateway.ts';
import type { ChargeOrder, PaymentAnswer, PaymentProvider, RefundOrder } from './provider.ts';
import { tossBreaker, tossSettings } from './provider-name.ts';
import { BankAccount, RequiredAction } from './purchase.shapes.ts';

/** How long Toss is not called after its breaker has opened. */
const defaultResetTimeoutMs = 5_000;

/** A part of a payment that was given back, or the end of one that nobody has paid. */
const Cancel = z.object({
  transactionKey: z.string().min(1).max(64),
  cancelAmount: z.int().nonnegative(),
  cancelReason: z.string().nullish(),
  cancelStatus: z.string().nullish(),
});
type Cancel = z.infer<typeof Cancel>;

const Place = z.object({ url: z.string().nullish() }).nullish();

/** What is read of a payment. */
export const TossPayment = z.object({
  paymentKey: z.string().min(1).max(200),
  orderId: z.string().max(255),
  status: z.string(),
  totalAmount: z.int().nonnegative(),
  currency: z.string().max(16),
  approvedAt: z.string().nullish(),
  cancels: z.array(Cancel).nullish(),
  virtualAccount: z
    .object({
      bankCode: z.string(),
      accountNumber: z.string(),
      customerName: z.string(),
      dueDate: z.string().nullish(),
      /** Where the customer wants money back, as the window has asked; Toss shows it for a limited time. */
      refundReceiveAccount: z
        .object({ bankCode: z.string(), accountNumber: z.string(), holderName: z.string() })
        .nullish(),
    })
    .nullish(),
  failure: z.object({ code: z.string().nullish() }).nullish(),
  receipt: Place,
  checkout: Place,
});
export type TossPayment = z.infer<typeof TossPayment>;

const Failure = z.object({ code: z.string().min(1).max(100) });

/** What a payment's key may be; it becomes a part of an address. */
const paymentKey = /^[\w~-][\w~.-]{0,199}$/;

/** Codes of 4xx answers that do not judge the request: the caller is refused, or it passes by itself. */
const notAboutTheRequest = [
  ...['INVALID_API_KEY', 'UNAUTHORIZED_KEY', 'FORBIDDEN_REQUEST', 'INCORRECT_BASIC_AUTH_FORMAT'],
  ...['PROVIDER_ERROR', 'CARD_PROCESSING_ERROR', 'FORBIDDEN_CONSECUTIVE_REQUEST', 'NOT_AVAILABLE_BANK'],
  ...['IDEMPOTENT_REQUEST_PROCESSING', 'INVALID_IDEMPOTENCY_KEY', 'NOT_AVAILABLE_PAYMENT'],
];

/** Codes with which Toss says that something became of this payment, or order, before. */
const doneBefore = ['ALREADY_PROCESSED_PAYMENT', 'DUPLICATED_ORDER_ID'];

/** Toss has answered that it does not do this. */
class Refused extends Unclear {
  readonly code: string | undefined;
  readonly status: number;

  constructor(status: number, code: string | undefined) {
    super(`the provider answered ${status}${code ? ` ${code}` : ''}`);
    this.status = status;
    this.code = code;
  }

  /** Why it would refuse the same request again; undefined if that is not said. */
  get judgement(): string | undefined {
    return this.code === undefined || notAboutTheRequest.includes(this.code) ? undefined : shortened(this.code);
  }
}

export interface TossOptions {
  /** With the secret key as the user name. */
  readonly address: URL;
  /** Where the breaker is kept and shared. */
  readonly shared: Needs<'redis' | 'clock' | 'breakers'>;
  readonly callTimeoutMs?: number;
  readonly resetTimeoutMs?: number;
}

/** Toss as the port, and what its webhook needs. */
export interface TossPayments extends PaymentProvider {
  /**
   * What Toss says of a purchase's payment, in the order in which it is settled: what became of it, unless that is known, and
   * the refunds that were made. A failure is the only answer then.
   */
  history(
    purchaseId: PurchaseId,
    known: { readonly chargeId: string | null; readonly paymentToken: string | null; readonly isCaptured: boolean },
  ): Promise<readonly PaymentAnswer[]>;
}

/** The account at Toss of this environment; kept by `deps.once(tossPayments)`. */
export function tossPayments(deps: Needs<'registry' | 'redis' | 'clock' | 'breakers'>): TossPayments {
  const { address } = tossSettings(deps.registry);
  if (!address) throw new NotRegistered('provider/toss');
  return openTossPayments({ address, shared: deps });
}

/** Opens the provider. Nothing is called yet. */
export function openTossPayments(options: TossOptions): TossPayments {
  const { address, shared, callTimeoutMs = providerCallTimeoutMs, resetTimeoutMs = defaultResetTimeoutMs } = options;
  const authorization = `Basic ${Buffer.from(`${decodeURIComponent(address.username)}:`).toString('base64')}`;
  const guard = sharedBreaker(shared, tossBreaker, {
    resetTimeoutMs,
    isRefusal: (error) => error instanceof Unclear,
  });

  /** Makes one or several calls within the time of one. Never throws. */
  async function ask<Answer>(
    calls: (signal: AbortSignal) => Promise<Answer>,
  ): Promise<Answer | Extract<PaymentAnswer, { outcome: 'unknown' | 'unsent' }>> {
    const signal = AbortSignal.timeout(callTimeoutMs);
    try {
      return await guard.run(() => calls(signal));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const nothingWasDone = error instanceof BreakerOpen || error instanceof Busy;
      return { outcome: nothingWasDone ? 'unsent' : 'unknown', reason };
    }
  }

  /** One call. Throws `Refused` for a 4xx, `Busy` and `NoAnswer` otherwise. */
  async function call(path: string, signal: AbortSignal, post?: { key: string; body: object }): Promise<TossPayment> {
    const { status, body } = await exchange(new URL(`/v1/payments/${path}`, address.origin).href, {
      method: post ? 'POST' : 'GET',
      headers: {
        authorization,
        ...(post ? { 'content-type': 'application/json', 'idempotency-key': post.key } : {}),
      },
      body: post?.body,
      signal,
    });
    if (status >= 400 && status < 500) throw new Refused(status, Failure.safeParse(body).data?.code);
    if (status !== 200) throw new NoAnswer(`the provider answered ${status}`);
    const payment = TossPayment.safeParse(body);
    if (!payment.success) throw new NoAnswer('the provider sent a malformed answer');
    return payment.data;
  }

  /** A payment by its key, or by its order; undefined if there is none. */
  async function look(path: string, signal: AbortSignal): Promise<TossPayment | undefined> {
    try {
      return await call(path, signal);
    } catch (error) {
      if (error instanceof Refused && error.status === 404) return undefined;
      throw error;
    }
  }

  /** The payment of a purchase, as it is now; undefined if there is none. */
  async function paymentOf(
    purchaseId: PurchaseId,
    chargeId: string | null | undefined,
    token: string | null | undefined,
    signal: AbortSignal,
  ): Promise<TossPayment | undefined> {
    if (chargeId) return look(encodeURIComponent(chargeId), signal);
    if (!token || !paymentKey.test(token)) return look(`orders/${purchaseId}`, signal);
    const payment = await look(encodeURIComponent(token), signal);
    // What the customer names may be the payment of something else.
    return payment?.orderId === purchaseId ? payment : undefined;
  }

  return {
    charge: (order) => ask((signal) => charge(order, signal)),
    find: (purchaseId, chargeId, token) =>
      ask(async (signal) => outcomeOf(await paymentOf(purchaseId, chargeId, token, signal))),
    cancel: (purchaseId, reason, chargeId) =>
      ask(async (signal) => stop(purchaseId, reason, await paymentOf(purchaseId, chargeId, undefined, signal), signal)),
    refund: (order) => ask((signal) => refund(order, signal)),
    history: async (purchaseId, { chargeId, paymentToken, isCaptured }) => {
      const told = await ask(async (signal) =>
        historyOf(purchaseId, await paymentOf(purchaseId, chargeId, paymentToken, signal), isCaptured),
      );
      return 'outcome' in told ? [told] : told;
    },
  };

  async function charge(
    { purchaseId, amountMinor, currency, paymentToken }: ChargeOrder,
    signal: AbortSignal,
  ): Promise<PaymentAnswer> {
    if (!takesCurrency('toss', currency)) return { outcome: 'declined', reason: 'amount_not_chargeable' };
    if (!paymentKey.test(paymentToken)) return { outcome: 'declined', reason: 'no_payment_key' };
    const body = { paymentKey: paymentToken, orderId: purchaseId, amount: amountMinor };
    try {
      return outcomeOf(await call('confirm', signal, { key: chargeKey(purchaseId), body }));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.code !== undefined && doneBefore.includes(error.code)) {
        const payment = await paymentOf(purchaseId, undefined, paymentToken, signal);
        if (!payment) return { outcome: 'declined', reason: 'payment_of_another_order' };
        const outcome = outcomeOf(payment);
        return outcome.outcome === 'absent' ? { outcome: 'unknown', reason: error.message } : outcome;
      }
      const reason = error.judgement;
      if (reason === undefined) throw error;
      return { outcome: 'declined', reason };
    }
  }

  /** Ends a payment that waits for its deposit; the account takes none from then on. */
  async function stop(
    purchaseId: PurchaseId,
    cancelReason: string,
    payment: TossPayment | undefined,
    signal: AbortSignal,
  ): Promise<PaymentAnswer> {
    const outcome = outcomeOf(payment);
    if (payment === undefined || outcome.outcome !== 'requires_action') return outcome;
    const path = encodeURIComponent(payment.paymentKey);
    try {
      // Without an account for the money: if the deposit was faster, this is refused.
      return outcomeOf(await call(`${path}/cancel`, signal, { key: `${purchaseId}:cancel`, body: { cancelReason } }));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const now = outcomeOf(await look(path, signal));
      return now.outcome === 'requires_action' ? { outcome: 'unknown', reason: error.message } : now;
    }
  }

  async function refund(order: RefundOrder, signal: AbortSignal): Promise<PaymentAnswer> {
    const { purchaseId, chargeId, refundKey, refusals, amountMinor } = order;
    const path = encodeURIComponent(chargeId);
    try {
      const before = await call(path, signal);
      const made = cancelFor(order, before);
      if (made) return refundOutcome(order, made);
      // Only for a virtual account: other money goes back where it came from.
      const account = before.virtualAccount && (order.account ?? before.virtualAccount.refundReceiveAccount);
      if (before.virtualAccount && !account) {
        return { outcome: 'refused', refundKey, reason: 'refund_account_missing' };
      }
      const key = refundIdempotencyKey(order);
      const receives = account && {
        refundReceiveAccount: {
          bank: account.bankCode,
          accountNumber: account.accountNumber,
          holderName: account.holderName,
        },
      };
      const body = { cancelReason: key, cancelAmount: amountMinor, ...receives };
      const after = await call(`${path}/cancel`, signal, { key, body });
      const answered = cancelFor(order, after);
      if (answered) return refundOutcome(order, answered);
      return { outcome: 'unknown', reason: 'the provider does not name the refund in its answer' };
    } catch (error) {
      const reason = error instanceof Refused ? error.judgement : undefined;
      if (reason === undefined) throw error;
      log.warn('Toss refuses a refund', { purchaseId, refundKey, refusals, reason });
      return { outcome: 'refused', refundKey, reason };
    }
  }
}

/** What became of a payment. Pure. */
export function outcomeOf(payment: TossPayment | undefined): PaymentAnswer {
  // One that is not confirmed has charged nothing, and can be confirmed once.
  if (payment === undefined || payment.status === 'READY' || payment.status === 'IN_PROGRESS') {
    return { outcome: 'absent' };
  }
  const { paymentKey: chargeId, status, totalAmount: amountMinor, currency, orderId: reference } = payment;
  switch (status) {
    case 'DONE':
    case 'PARTIAL_CANCELED':
      return { outcome: 'captured', chargeId, amountMinor, currency, reference };
    case 'CANCELED':
      // An account that was closed before its deposit was never paid.
      return payment.approvedAt
        ? { outcome: 'refunded', chargeId, amountMinor: null }
        : { outcome: 'declined', reason: 'canceled' };
    case 'WAITING_FOR_DEPOSIT':
      return waiting(payment);
    case 'ABORTED':
    case 'EXPIRED':
      return { outcome: 'declined', reason: shortened(payment.failure?.code || status) };
    default:
      return { outcome: 'unknown', reason: `the payment is ${shortened(status)} at the provider` };
  }
}

function waiting({ paymentKey: chargeId, virtualAccount, receipt, checkout }: TossPayment): PaymentAnswer {
  const place = RequiredAction.shape.url.safeParse(receipt?.url || checkout?.url);
  if (!place.success) return { outcome: 'unknown', reason: 'the provider does not say where to pay' };
  const transferTo = BankAccount.safeParse({
    bankCode: virtualAccount?.bankCode,
    accountNumber: virtualAccount?.accountNumber,
    holderName: virtualAccount?.customerName,
  }).data;
  const deadlineMs = timeOf(virtualAccount?.dueDate);
  return { outcome: 'requires_action', url: place.data, deadlineMs, transferTo, chargeId };
}

/** A time of Toss's, which is Korea's if it does not say so; null if there is none. */
function timeOf(text: string | null | undefined): number | null {
  if (!text) return null;
  const ms = Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}+09:00`);
  return Number.isNaN(ms) ? null : ms;
}

/** Everything that is said of a payment; what became of it only if that is not known yet. Pure. */
export function historyOf(
  purchaseId: PurchaseId,
  payment: TossPayment | undefined,
  isCaptured: boolean,
): readonly PaymentAnswer[] {
  const outcome = outcomeOf(payment);
  if (payment === undefined || (!isCaptured && outcome.outcome !== 'captured')) return [outcome];
  const { paymentKey: chargeId, currency, orderId: reference } = payment;
  const refunds = (payment.cancels ?? []).filter(isMade).map((cancel): PaymentAnswer => {
    const refundKey = refundAskedUnder(purchaseId, cancel.cancelReason ?? '')?.refundKey ?? null;
    const { cancelAmount: amountMinor, transactionKey: refundId } = cancel;
    return { outcome: 'refunded', chargeId, amountMinor, currency, reference, refundKey, refundId };
  });
  return isCaptured ? refunds : [outcome, ...refunds];
}

function isMade({ cancelStatus, cancelAmount }: Cancel): boolean {
  return (cancelStatus ?? 'DONE') === 'DONE' && cancelAmount > 0;
}

/** What Toss has made of an order to refund. */
function cancelFor(order: RefundOrder, { cancels }: TossPayment): Cancel | undefined {
  return cancels?.find(({ cancelReason }) => cancelReason === refundIdempotencyKey(order));
}

function refundOutcome({ refundKey, chargeId }: RefundOrder, cancel: Cancel): PaymentAnswer {
  if (!isMade(cancel)) {
    return { outcome: 'unknown', reason: `the refund is ${shortened(cancel.cancelStatus ?? 'empty')} at the provider` };
  }
  const { cancelAmount: amountMinor, transactionKey: refundId } = cancel;
  return { outcome: 'refunded', chargeId, refundKey, refundId, amountMinor };
}

function shortened(reason: string): string {
  return reason.slice(0, reasonCharacters);
}
