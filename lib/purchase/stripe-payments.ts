/**
 * Stripe as the payment provider: a purchase is one PaymentIntent, made and confirmed in one call.
 *
 * Invariants. I7: the purchase's id is the key of that call, so the same intent answers however often it is sent, for as long
 * as Stripe keeps the key (a day, as long as a purchase is tried at all). I13: a refund carries its key in its metadata and is
 * looked for before it is made, so that it is made once even after its Idempotency-Key is forgotten; amount, currency and
 * reference are read back as they are, for `settle.ts` to compare.
 *
 * Stripe has no question for a key. An intent whose id is not known is searched by its metadata, and the search learns of a new
 * one late. So its "none" leads to another charge under the same key, which is the same charge; and before a purchase is ended
 * for it, its key is spent on an intent that nobody can pay (`preclude`): then none was made with it, and none can be. A 4xx is an answer and opens no breaker; a timeout,
 * a broken connection, 5xx and 429 do.
 */

import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import type { PurchaseId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { NotRegistered } from '#platform/kernel/registry.ts';
import { providerCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { openStripe, type StripeApi, type StripeFailure, stripeFailure } from '#platform/payments/stripe.ts';
import { sharedBreaker } from '#platform/redis/shared-circuit-breaker.ts';
import { BreakerOpen } from '#platform/resilience/circuit-breaker.ts';
import { chargeKey, reasonCharacters, refundIdempotencyKey } from './payment-gateway.ts';
import type { ChargeOrder, GivenBack, PaymentAnswer, PaymentProvider, RefundOrder } from './provider.ts';
import { stripeBreaker, stripeSettings } from './provider-name.ts';
import { RequiredAction } from './purchase.shapes.ts';
import { fromStripe, toStripe } from './stripe-money.ts';

/** How long Stripe is not called after its breaker has opened. */
const defaultResetTimeoutMs = 5_000;

const seconds = z.int().nullish();
const address = z.string().nullish();

/** What a customer must do: each kind of action says in a part of its own where, and some of them until when. */
const ActionPart = z.object({
  url: address,
  hosted_instructions_url: address,
  hosted_voucher_url: address,
  hosted_verification_url: address,
  mobile_auth_url: address,
  expires_at: seconds,
  expires_after: seconds,
});

/** What is read of a PaymentIntent, from an answer or from a webhook. */
export const Intent = z.object({
  object: z.literal('payment_intent'),
  id: z.string().min(1).max(64),
  status: z.string(),
  amount_received: z.int(),
  currency: z.string().max(16),
  metadata: z.record(z.string(), z.string()),
  next_action: z.looseObject({ type: z.string() }).nullish(),
  last_payment_error: z.object({ code: z.string().nullish(), decline_code: z.string().nullish() }).nullish(),
  cancellation_reason: z.string().nullish(),
  latest_charge: z.union([z.string(), z.object({ refunded: z.boolean() })]).nullish(),
});
export type Intent = z.infer<typeof Intent>;

/** What is read of a refund, likewise. */
export const Refund = z.object({
  object: z.literal('refund'),
  id: z.string().min(1).max(255),
  status: z.string().nullish(),
  amount: z.int().positive(),
  currency: z.string().max(16),
  metadata: z.record(z.string(), z.string()).nullish(),
  payment_intent: z.union([z.string().max(64), z.object({ id: z.string().max(64) })]).nullish(),
  failure_reason: z.string().nullish(),
});
export type Refund = z.infer<typeof Refund>;

export interface StripeOptions {
  readonly api: StripeApi;
  /** Where the customer is sent after an action. */
  readonly returnUrl: string | undefined;
  /** Where the breaker is kept and shared. */
  readonly shared: Needs<'redis' | 'clock' | 'breakers'>;
  readonly callTimeoutMs?: number;
  readonly resetTimeoutMs?: number;
}

/** The Stripe account of this environment; kept by `deps.once(stripePayments)`. */
export function stripePayments(deps: Needs<'registry' | 'redis' | 'clock' | 'breakers'>): PaymentProvider {
  const { address: at, returnUrl } = stripeSettings(deps.registry);
  if (!at) throw new NotRegistered('provider/stripe');
  return openStripePayments({ api: openStripe(at), returnUrl, shared: deps });
}

/** The time that is left for a call, as an option of it. */
type TimeLeft = () => { timeout: number };

/** With the charge, which says whether it was given back. */
const expand = ['latest_charge'];

/** Opens the provider. Nothing is called yet. */
export function openStripePayments(options: StripeOptions): PaymentProvider {
  const { api, shared, returnUrl } = options;
  const { callTimeoutMs = providerCallTimeoutMs, resetTimeoutMs = defaultResetTimeoutMs } = options;
  const guard = sharedBreaker(shared, stripeBreaker, {
    resetTimeoutMs,
    isRefusal: (error) => stripeFailure(error).kind === 'answered',
  });

  /** Makes one or several calls within the time of one. Never throws. */
  async function ask(calls: (left: TimeLeft) => Promise<PaymentAnswer>): Promise<PaymentAnswer> {
    const untilMs = shared.clock() + callTimeoutMs;
    const left = () => ({ timeout: Math.max(1, untilMs - shared.clock()) });
    try {
      return await guard.run(() => calls(left));
    } catch (error) {
      if (error instanceof BreakerOpen) return { outcome: 'unsent', reason: error.message };
      const { kind, reason } = stripeFailure(error);
      return { outcome: kind === 'unsent' ? 'unsent' : 'unknown', reason };
    }
  }

  /** The intent of a purchase as it is now; undefined if there is none. */
  async function look(
    purchaseId: PurchaseId,
    intentId: string | null | undefined,
    left: TimeLeft,
  ): Promise<Intent | undefined> {
    if (intentId) return retrieve(intentId, left);
    const query = `metadata['reference']:'${purchaseId}'`;
    const { data } = await api.paymentIntents.search({ query, limit: 10 }, left());
    const found = data.find(({ status }) => status === 'succeeded') ?? data[0];
    // The search may show it as it was a minute ago.
    return found && retrieve(found.id, left);
  }

  async function retrieve(intentId: string, left: TimeLeft): Promise<Intent | undefined> {
    try {
      return Intent.parse(await api.paymentIntents.retrieve(intentId, { expand }, left()));
    } catch (error) {
      const failure = stripeFailure(error);
      if (failure.kind === 'answered' && failure.status === 404) return undefined;
      throw error;
    }
  }

  /** What became of an intent. One that waits for nobody is stopped, so that it cannot be paid later. */
  async function outcomeOf(intent: Intent, left: TimeLeft): Promise<PaymentAnswer> {
    return intentAnswer(intent) ?? (await stop(intent.id, 'abandoned', left));
  }

  async function stop(
    intentId: string,
    cancellation_reason: 'abandoned' | 'requested_by_customer',
    left: TimeLeft,
  ): Promise<PaymentAnswer> {
    try {
      return understood(
        Intent.parse(await api.paymentIntents.cancel(intentId, { cancellation_reason, expand }, left())),
      );
    } catch (error) {
      // Somebody was faster: the customer, the time, or another try at this.
      if (stripeFailure(error).kind !== 'answered') throw error;
      const intent = await retrieve(intentId, left);
      return intent ? understood(intent) : { outcome: 'absent' };
    }
  }

  return {
    charge: (order) => ask((left) => charge(order, left)),
    find: (purchaseId, intentId) =>
      ask(async (left) => {
        const intent = await look(purchaseId, intentId, left);
        return intent ? outcomeOf(intent, left) : { outcome: 'absent' };
      }),
    cancel: (purchaseId, reason, intentId) =>
      ask(async (left) => {
        const intent = intentId ? { id: intentId } : await look(purchaseId, undefined, left);
        if (!intent) return { outcome: 'absent' };
        return stop(intent.id, reason === 'given_up' ? 'requested_by_customer' : 'abandoned', left);
      }),
    preclude: (order) => ask((left) => preclude(order, left)),
    refund: (order) => ask((left) => refund(order, left)),
  };

  async function charge(
    { purchaseId, amountMinor, currency, paymentToken }: ChargeOrder,
    left: TimeLeft,
  ): Promise<PaymentAnswer> {
    const amount = toStripe(amountMinor, currency);
    if (amount === undefined) return { outcome: 'declined', reason: 'amount_not_chargeable' };
    const isConfirmation = paymentToken.startsWith('ctoken_');
    try {
      const made = await api.paymentIntents.create(
        {
          amount,
          currency: currency.toLowerCase(),
          ...(isConfirmation ? { confirmation_token: paymentToken } : { payment_method: paymentToken }),
          confirm: true,
          automatic_payment_methods: { enabled: true, allow_redirects: returnUrl === undefined ? 'never' : 'always' },
          ...(returnUrl === undefined ? {} : { return_url: returnUrl }),
          metadata: { reference: purchaseId },
          expand,
        },
        { ...left(), idempotencyKey: chargeKey(purchaseId) },
      );
      return await outcomeOf(Intent.parse(made), left);
    } catch (error) {
      const failure = stripeFailure(error);
      // What Stripe rejects it would reject again, and it has charged nothing. Other answers say nothing of the charge.
      if (failure.kind !== 'answered' || failure.isAboutKey || ![400, 402].includes(failure.status)) throw error;
      if (failure.status === 400) log.error('Stripe rejects a charge', { purchaseId, code: failure.code });
      return { outcome: 'declined', reason: shortened(failure.declineCode ?? failure.code ?? 'refused_by_provider') };
    }
  }

  async function preclude(
    { purchaseId, amountMinor, currency }: Omit<ChargeOrder, 'paymentToken'>,
    left: TimeLeft,
  ): Promise<PaymentAnswer> {
    const amount = toStripe(amountMinor, currency);
    // Then it was never charged either.
    if (amount === undefined) return { outcome: 'absent' };
    try {
      const { id } = await api.paymentIntents.create(
        { amount, currency: currency.toLowerCase(), metadata: { reference: purchaseId } },
        { ...left(), idempotencyKey: chargeKey(purchaseId) },
      );
      await stop(id, 'abandoned', left);
      return { outcome: 'absent' };
    } catch (error) {
      const failure = stripeFailure(error);
      if (failure.kind !== 'answered' || !failure.isAboutKey) throw error;
      return {
        outcome: 'unknown',
        reason: 'a charge was made, or is being made, of which the search knows nothing yet',
      };
    }
  }

  async function refund(order: RefundOrder, left: TimeLeft): Promise<PaymentAnswer> {
    const { purchaseId, chargeId, refundKey, refusals, amountMinor, currency } = order;
    const amount = toStripe(amountMinor, currency);
    if (amount === undefined) return { outcome: 'refused', refundKey, reason: 'amount_not_refundable' };
    try {
      const known = await madeBefore(order, left);
      const made =
        known ??
        Refund.parse(
          await api.refunds.create(
            {
              payment_intent: chargeId,
              amount,
              metadata: { reference: purchaseId, refund_key: refundKey, refusals },
            },
            { ...left(), idempotencyKey: refundIdempotencyKey(order) },
          ),
        );
      return refundOutcome(order, made);
    } catch (error) {
      const failure = stripeFailure(error);
      if (!isRefused(failure)) throw error;
      return { outcome: 'refused', refundKey, reason: shortened(failure.code ?? `http_${failure.status}`) };
    }
  }

  /** The refund that Stripe has made, or tries to make, for this order. */
  async function madeBefore(order: RefundOrder, left: TimeLeft): Promise<Refund | undefined> {
    const { chargeId, refundKey, refusals } = order;
    for await (const one of api.refunds.list({ payment_intent: chargeId, limit: 100 }, left())) {
      const known = Refund.parse(one);
      const ours = oursOf(known);
      if (ours?.refundKey === refundKey && ours.refusals === refusals) return known;
    }
    return undefined;
  }
}

/** 4xx answers that do not judge the request. */
const notAboutTheRequest = [401, 403, 408, 425];

/** Whether Stripe would refuse the same request again. */
function isRefused(failure: StripeFailure): failure is Extract<StripeFailure, { kind: 'answered' }> {
  return failure.kind === 'answered' && !failure.isAboutKey && !notAboutTheRequest.includes(failure.status);
}

/**
 * What an intent says of its payment; undefined if nobody is to do anything for it any more although nothing was paid: it was
 * not confirmed, or asks for something that has no address. Throws for one that makes no sense. Pure.
 */
export function intentAnswer(intent: Intent): PaymentAnswer | undefined {
  const { id: chargeId, status, latest_charge: charge } = intent;
  switch (status) {
    case 'succeeded': {
      if (typeof charge === 'object' && charge?.refunded) return { outcome: 'refunded', chargeId, amountMinor: null };
      const money = moneyOf(intent.amount_received, intent.currency);
      return { outcome: 'captured', chargeId, ...money, reference: intent.metadata.reference ?? '' };
    }
    case 'canceled':
      return { outcome: 'declined', reason: shortened(intent.cancellation_reason ?? 'canceled') };
    case 'requires_payment_method': {
      const failed = intent.last_payment_error;
      const reason = failed?.decline_code || failed?.code || 'declined';
      return failed ? { outcome: 'declined', reason: shortened(reason) } : undefined;
    }
    case 'requires_action':
      return actionIn(intent);
    case 'requires_confirmation':
      return undefined;
    default:
      return { outcome: 'unknown', reason: `the payment is ${status} at the provider` };
  }
}

/** What became of an intent that was to be stopped: what cannot be stopped is asked about again. */
function understood(intent: Intent): PaymentAnswer {
  return intentAnswer(intent) ?? { outcome: 'unknown', reason: `the payment is ${intent.status} at the provider` };
}

function actionIn({ id: chargeId, next_action: action }: Intent): PaymentAnswer | undefined {
  const part = action ? ActionPart.safeParse(action[action.type]).data : undefined;
  const places = [
    part?.url,
    part?.hosted_instructions_url,
    part?.hosted_voucher_url,
    part?.hosted_verification_url,
    part?.mobile_auth_url,
  ];
  const place = RequiredAction.shape.url.safeParse(places.find(Boolean));
  if (!place.success) return undefined;
  const until = part?.expires_at ?? part?.expires_after;
  return { outcome: 'requires_action', url: place.data, deadlineMs: until ? until * 1000 : null, chargeId };
}

/** Which of our refunds it is, and how many refusals came before; undefined if it is none of ours. Pure. */
export function oursOf({ metadata }: Refund): Pick<RefundOrder, 'refundKey' | 'refusals'> | undefined {
  const refundKey = metadata?.refund_key;
  return refundKey ? { refundKey, refusals: Number(metadata?.refusals ?? 0) } : undefined;
}

/** What Stripe says of money that goes back: of which payment, how much, and which refund of ours. Pure. */
export function givenBackIn(refund: Refund): GivenBack | undefined {
  const { id: refundId, payment_intent: intent, metadata } = refund;
  const chargeId = typeof intent === 'string' ? intent : intent?.id;
  if (!chargeId) return undefined;
  const refundKey = oursOf(refund)?.refundKey ?? null;
  const reference = metadata?.reference;
  return { chargeId, ...moneyOf(refund.amount, refund.currency), refundKey, refundId, reference };
}

/** Why a refund was not made after all; undefined if it was, or is not known yet. Pure. */
export function refundFailure({ status, failure_reason: reason }: Refund): string | undefined {
  return status === 'failed' || status === 'canceled' ? shortened(reason ?? status) : undefined;
}

function refundOutcome({ refundKey, chargeId }: RefundOrder, refund: Refund): PaymentAnswer {
  const failure = refundFailure(refund);
  if (failure !== undefined) return { outcome: 'refused', refundKey, reason: failure };
  if (refund.status !== 'succeeded') {
    return { outcome: 'unknown', reason: `the refund is ${refund.status} at the provider` };
  }
  const { amountMinor } = moneyOf(refund.amount, refund.currency);
  return { outcome: 'refunded', chargeId, refundKey, refundId: refund.id, amountMinor };
}

function moneyOf(amount: number, stripeCurrency: string): { amountMinor: number; currency: string } {
  const currency = stripeCurrency.toUpperCase();
  const amountMinor = fromStripe(amount, currency);
  if (amountMinor === undefined) throw new Error(`${amount} ${currency} is no amount of this currency`);
  return { amountMinor, currency };
}

function shortened(reason: string): string {
  return reason.slice(0, reasonCharacters);
}
