/**
 * What Stripe's webhook tells, in the words of our own: of a payment (`payment_intent.*`) or of money that went back
 * (`refund.*`). Every other event is none of ours.
 */
import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import type { PurchaseId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import type { PaymentAnswer } from './provider.ts';
import { findByCharge } from './purchase.store.ts';
import { givenBackIn, Intent, intentAnswer, oursOf, Refund, refundFailure } from './stripe-payments.ts';

const Event = z.object({ type: z.string(), data: z.object({ object: z.unknown() }) });

/** What an event says of which purchase; undefined if it says nothing of one. */
export async function readStripeEvent(
  deps: Needs<'db'>,
  event: unknown,
): Promise<{ purchaseId: PurchaseId; answer: PaymentAnswer } | undefined> {
  const parsed = Event.safeParse(event).data;
  if (!parsed) return undefined;
  const { type, data } = parsed;
  if (type.startsWith('payment_intent.')) return ofIntent(Intent.safeParse(data.object).data);
  return type.startsWith('refund.') ? ofRefund(deps, Refund.safeParse(data.object).data) : undefined;
}

function ofIntent(intent: Intent | undefined): { purchaseId: PurchaseId; answer: PaymentAnswer } | undefined {
  const purchaseId = idOf<PurchaseId>().safeParse(intent?.metadata.reference);
  if (!intent || !purchaseId.success) return undefined;
  const answer = intentAnswer(intent);
  // An intent that is being made, or still processed, says nothing yet.
  return answer && answer.outcome !== 'unknown' ? { purchaseId: purchaseId.data, answer } : undefined;
}

async function ofRefund(
  { db }: Needs<'db'>,
  refund: Refund | undefined,
): Promise<{ purchaseId: PurchaseId; answer: PaymentAnswer } | undefined> {
  const given = refund && givenBackIn(refund);
  if (!given) return undefined;
  const failure = refundFailure(refund);
  if (failure === undefined && refund.status !== 'succeeded') return undefined;
  const named = idOf<PurchaseId>().safeParse(given.reference);
  // One that was made at Stripe by hand names the payment alone.
  const purchaseId = named.success ? named.data : await findByCharge(db, given.chargeId);
  if (purchaseId === undefined) return undefined;
  if (failure === undefined) return { purchaseId, answer: { outcome: 'refunded', ...given } };
  const ours = oursOf(refund) ?? { refundKey: `at-provider:${refund.id}`.slice(0, 64), refusals: 0 };
  const told = { ...given, refusals: ours.refusals };
  return { purchaseId, answer: { outcome: 'refused', refundKey: ours.refundKey, reason: failure, told } };
}
