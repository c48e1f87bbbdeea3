/**
 * The providers' webhook: the second way to learn an outcome, and often the first to arrive. All providers send to one address,
 * and each signs in its own way, except Toss Payments, which does not sign.
 *
 * It is settled like the pay worker's own answers, so it may arrive before them, after them, twice or never.
 * A forged signature could claim payments, so it is verified first; replaying a genuine message changes nothing. Nothing that
 * Toss's says is believed: Toss is asked instead (`toss-webhook.ts`).
 */

import type { WriteNeeds } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { PurchaseId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { locate } from '#platform/kernel/registry.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import type { ProviderName } from '#platform/payments/provider-names.ts';
import { stripeEvent } from '#platform/payments/stripe.ts';
import { isAuthentic, type SignedMessage } from '#platform/security/webhook-signature.ts';
import { sendCommands } from './pay-queue.ts';
import { actionAnswer, refundAskedUnder } from './payment-gateway.ts';
import type { PaymentAnswer } from './provider.ts';
import { tossSettings } from './provider-name.ts';
import { PaymentWebhook } from './purchase.shapes.ts';
import { type Answered, settlePurchases } from './settle.ts';
import { readStripeEvent } from './stripe-webhook.ts';
import { askedAtToss, orderIn } from './toss-webhook.ts';

/** What a webhook reports of which purchase, in the order in which it is settled, and who says so. */
interface Told extends Pick<Answered, 'purchaseId'> {
  readonly answers: readonly PaymentAnswer[];
  readonly provider: ProviderName;
}

/**
 * Settles what a webhook reports that came from this address. Refuses one whose signature is missing, wrong or expired. One that
 * is genuine but of an unknown kind is acknowledged, so that it is not resent for ever. Throws if the store is unavailable; the
 * provider then sends it again.
 */
export async function receiveWebhook(
  deps: WriteNeeds & Needs<'registry' | 'breakers'>,
  message: SignedMessage,
  address: string,
): Promise<{ received: true } | Refusal> {
  const told = await toldBy(deps, message, address);
  if (told === 'forged') {
    return refuse(
      'invalid_signature',
      'The webhook is not signed by the payment provider, or its timestamp is outside the tolerance.',
    );
  }
  if (isRefusal(told)) return told;
  if (!told) {
    log.warn('a webhook of an unknown kind was ignored', { webhookId: message.headers['webhook-id'] });
    return { received: true };
  }
  const { purchaseId, provider, answers } = told;
  for (const answer of answers) {
    const settled = await settlePurchases(deps, [{ purchaseId, answer, provider }]);
    const purchase = settled.get(purchaseId);
    if (!purchase) log.error('the provider reports a purchase that does not exist', { purchaseId });
    if (purchase?.state === 'refunding') await sendCommands(deps, [purchase]);
  }
  return { received: true };
}

/** What a webhook tells; undefined if that is nothing of a purchase. */
function toldBy(
  deps: WriteNeeds & Needs<'registry' | 'breakers'>,
  message: SignedMessage,
  address: string,
): Promise<Told | Refusal | 'forged' | undefined> {
  const { headers, rawBody } = message;
  if (headers['stripe-signature'] !== undefined) return toldByStripe(deps, message);
  const isSigned = headers['webhook-signature'] !== undefined;
  const orderId = isSigned || !tossSettings(deps.registry).address ? undefined : orderIn(parsed(rawBody));
  return orderId === undefined ? toldBySandbox(deps, message) : toldByToss(deps, orderId, address);
}

/** What Toss tells when it is asked about the order that an unsigned message names. */
async function toldByToss(
  deps: WriteNeeds & Needs<'registry' | 'breakers'>,
  orderId: string | null,
  address: string,
): Promise<Told | Refusal | undefined> {
  const asked = await askedAtToss(deps, orderId, address);
  return asked === undefined || isRefusal(asked) ? asked : { ...asked, provider: 'toss' };
}

/** What Stripe tells; undefined if it tells nothing of a purchase. */
async function toldByStripe(
  deps: Needs<'registry' | 'db' | 'clock'>,
  message: SignedMessage,
): Promise<Told | 'forged' | undefined> {
  // Without a secret nothing is Stripe's.
  const event = stripeEvent(deps.registry['secret/stripe-webhook'] ?? '', message, deps.clock());
  if (event === undefined) return 'forged';
  const told = await readStripeEvent(deps, event);
  return told && { purchaseId: told.purchaseId, answers: [told.answer], provider: 'stripe' };
}

/** What a provider in the sandbox's protocol tells; undefined if it tells nothing of a purchase. */
async function toldBySandbox(
  { registry, clock }: Needs<'registry' | 'clock'>,
  message: SignedMessage,
): Promise<Told | 'forged' | undefined> {
  if (!isAuthentic(locate(registry, 'secret/payment-webhook'), message, clock())) return 'forged';
  const told = readWebhook(message.rawBody);
  return told && { purchaseId: told.purchaseId, answers: [told.answer], provider: 'sandbox' };
}

/** What a webhook says of which purchase; undefined if it is of another kind, or names no amount. */
function readWebhook(rawBody: string): { purchaseId: PurchaseId; answer: PaymentAnswer } | undefined {
  const result = PaymentWebhook.safeParse(parsed(rawBody));
  const purchaseId = idOf<PurchaseId>().safeParse(result.data?.data.idempotencyKey);
  if (!result.success || !purchaseId.success) return undefined;
  const { type, data } = result.data;
  const answer = answerOf(purchaseId.data, type, data);
  return answer && { purchaseId: purchaseId.data, answer };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function answerOf(
  purchaseId: PurchaseId,
  type: PaymentWebhook['type'],
  { chargeId, amountMinor, currency, reference, declineCode, action, refundId, ...data }: PaymentWebhook['data'],
): PaymentAnswer | undefined {
  const asked = data.refundKey ? refundAskedUnder(purchaseId, data.refundKey) : undefined;
  switch (type) {
    case 'payment.captured':
      if (amountMinor === undefined || currency === undefined || reference === undefined) return undefined;
      return { outcome: 'captured', chargeId, amountMinor, currency, reference };
    case 'payment.declined':
      return { outcome: 'declined', reason: declineCode ?? 'declined' };
    case 'payment.requires_action':
      return action ? actionAnswer(action) : undefined;
    case 'payment.refunded': {
      if (amountMinor === undefined || amountMinor <= 0) return undefined;
      const ours = data.refundKey ? (asked?.refundKey ?? null) : undefined;
      const of = { refundId: refundId ?? undefined, refundKey: ours };
      return { outcome: 'refunded', chargeId, amountMinor, currency, reference, ...of };
    }
    case 'payment.refund_failed': {
      if (!asked) return undefined;
      const { refundKey, refusals } = asked;
      const told = { chargeId, amountMinor: amountMinor ?? null, currency, reference, refusals };
      return { outcome: 'refused', refundKey, reason: data.failureReason ?? 'refund_failed', told };
    }
  }
}
