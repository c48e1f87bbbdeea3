/**
 * What Toss's webhook tells. It is not signed, so anybody can send one: of what it says only the name of the order is used, and
 * what became of the payment is asked for at Toss. One that lies has Toss asked, and changes nothing.
 *
 * How often one purchase is looked up and Toss asked is limited, and so is how many purchases an address may invent, so that nobody
 * can have Toss or MySQL asked without end. Beyond it, and when Toss cannot be asked, the answer is an error, and Toss sends the
 * webhook again for almost four days.
 */
import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import { networkOf, takeTokens } from '#platform/handlers/limits.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { PurchaseId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import type { Bucket } from '#platform/redis/rate-limit.ts';
import { missesOf } from '#platform/resilience/unknown-ids.ts';
import type { PaymentAnswer } from './provider.ts';
import { findPurchase } from './purchase.store.ts';
import { tossPayments } from './toss-payments.ts';

/** How often one purchase is looked up, and Toss asked, because of webhooks: more than it sends itself. */
export function looksAt(purchaseId: PurchaseId): Bucket {
  return { what: 'toss-webhook', who: purchaseId, rate: { burst: 30, perMinute: 30 } };
}

/** A change of any payment's state, and the deposit to a virtual account, which has a form of its own. */
const TossEvent = z.union([
  z.object({ eventType: z.string(), data: z.looseObject({ orderId: z.string().optional() }) }),
  z.object({ secret: z.string(), status: z.string(), orderId: z.string() }),
]);

/** Which order a message in one of Toss's forms names; null if none, undefined if it has none of these forms. */
export function orderIn(event: unknown): string | null | undefined {
  const parsed = TossEvent.safeParse(event).data;
  return parsed && ('data' in parsed ? (parsed.data.orderId ?? null) : parsed.orderId);
}

/**
 * What Toss says, when it is asked, of the purchase that an order is; undefined if it is none of Toss's. Refuses with
 * `too_many_requests`, also an address that has named many orders which are none of Toss's, and with `status_unknown` if Toss
 * cannot be asked.
 */
export async function askedAtToss(
  deps: Needs<'registry' | 'db' | 'redis' | 'clock' | 'breakers' | 'once'>,
  orderId: string | null,
  address: string,
): Promise<{ purchaseId: PurchaseId; answers: readonly PaymentAnswer[] } | Refusal | undefined> {
  const purchaseId = idOf<PurchaseId>().safeParse(orderId);
  if (!purchaseId.success) return undefined;
  const misses = deps.once(missesOf);
  const mustWait = misses.refusal(networkOf(address));
  if (mustWait) return mustWait;
  const [empty] = await takeTokens(deps, [looksAt(purchaseId.data)]);
  if (empty) {
    const { retryAfterSeconds } = empty;
    return refuse('too_many_requests', 'Too many webhooks name this payment.', { retryAfterSeconds });
  }
  const purchase = await findPurchase(deps.db, purchaseId.data, undefined);
  if (purchase?.provider !== 'toss') {
    misses.note(networkOf(address));
    return undefined;
  }
  const { chargeId, paymentToken, capturedMinor } = purchase;
  const known = { chargeId, paymentToken, isCaptured: capturedMinor !== null };
  const answers = await deps.once(tossPayments).history(purchaseId.data, known);
  const [first] = answers;
  if (first?.outcome === 'unknown' || first?.outcome === 'unsent') {
    log.warn('Toss could not be asked about a webhook', { purchaseId: purchaseId.data, reason: first.reason });
    return refuse('status_unknown', 'Toss could not be asked about the payment; send the webhook again.');
  }
  return { purchaseId: purchaseId.data, answers };
}
