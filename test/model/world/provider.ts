/**
 * The payment provider in memory: one charge for each idempotency key, refunds, and webhooks that tell of both. By the
 * payment token it declines, takes more than it was asked to, or refuses each refund once.
 *
 * Like a real one it answers late, twice or not at all; unlike one it remembers everything, so that afterwards it can be
 * said what was taken from whom (invariant I7). Called by `deps.ts`.
 */
import { createHmac } from 'node:crypto';
import type { SignedMessage } from '#platform/security/webhook-signature.ts';
import type { ChargeOrder, PaymentAnswer, RefundOrder } from '#purchase/provider.ts';
import { Digest, Sum } from './choice.ts';
import type { World } from './world.ts';

export interface Charge {
  readonly chargeId: string;
  readonly key: string;
  readonly amountMinor: number;
  readonly currency: string;
  state: 'captured' | 'declined' | 'refunded';
  /** Whether each refund of it is refused when it is asked for the first time. */
  readonly refuses: boolean;
  /** What was given back, by the key under which it was asked for. */
  readonly refunds: Map<string, number>;
}

/** How much of a charge was given back. */
export function givenBack({ refunds }: Charge): number {
  return [...refunds.values()].reduce((sum, amount) => sum + amount, 0);
}

/** The secret with which shipped code verifies a webhook. */
export const webhookSecret = `whsec_${Buffer.from('the secret of the model').toString('base64')}`;

export class PaymentService {
  readonly charges = new Map<string, Charge>();
  /** How often a charge was captured, by what it was for. */
  readonly captures = new Map<string, number>();
  /** Receives the provider's webhooks, if set. */
  listener: ((message: SignedMessage, name: string) => void) | undefined;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  reset(): void {
    this.charges.clear();
    this.captures.clear();
    this.listener = undefined;
  }

  /** Every charge as it is, to come back to. */
  snapshot(): readonly Charge[] {
    return [...this.charges.values()].map(copyOf);
  }

  restore(charges: readonly Charge[]): void {
    for (const charge of charges) this.charges.set(charge.key, copyOf(charge));
  }

  charge(order: ChargeOrder): PaymentAnswer {
    const known = this.charges.get(order.purchaseId);
    if (known) return answerOf(known);
    if (order.paymentToken === '') return { outcome: 'declined', reason: 'no token' };
    const declined = order.paymentToken === 'declined';
    const charge: Charge = {
      chargeId: `ch-${order.purchaseId.slice(0, 8)}`,
      key: order.purchaseId,
      amountMinor: order.amountMinor + (order.paymentToken.startsWith('more') ? 1 : 0),
      currency: order.currency,
      refuses: order.paymentToken.startsWith('refuses'),
      state: declined ? 'declined' : 'captured',
      refunds: new Map(),
    };
    this.charges.set(order.purchaseId, charge);
    if (!declined) this.captures.set(order.paymentToken, (this.captures.get(order.paymentToken) ?? 0) + 1);
    this.#tell(charge);
    return answerOf(charge);
  }

  find(key: string): PaymentAnswer {
    const known = this.charges.get(key);
    return known ? answerOf(known) : { outcome: 'absent' };
  }

  /** Nothing waits for a customer here, so there is nothing to stop. */
  cancel(key: string): PaymentAnswer {
    return this.find(key);
  }

  refund({ purchaseId, chargeId, refundKey, refusals, amountMinor }: RefundOrder): PaymentAnswer {
    const known = [...this.charges.values()].find((charge) => charge.chargeId === chargeId);
    if (!known || known.state === 'declined') return { outcome: 'refused', refundKey, reason: 'no_such_charge' };
    if (known.refuses && refusals === 0) return { outcome: 'refused', refundKey, reason: 'try_later' };
    const key = `${purchaseId}:${refundKey}${refusals > 0 ? `~${refusals}` : ''}`;
    if (!known.refunds.has(key)) {
      if (givenBack(known) + amountMinor > known.amountMinor) {
        return { outcome: 'refused', refundKey, reason: 'exceeds_charge' };
      }
      known.refunds.set(key, amountMinor);
      if (givenBack(known) === known.amountMinor) known.state = 'refunded';
      this.#tell(known, key);
    }
    return { outcome: 'refunded', chargeId, refundKey, amountMinor };
  }

  digest(): number {
    const sum = new Sum();
    for (const charge of this.charges.values()) {
      sum.add(
        new Digest()
          .text(charge.key)
          .text(charge.state)
          .text(String(givenBack(charge)))
          .value(),
      );
    }
    return sum.value();
  }

  #tell(charge: Charge, refundKey?: string): void {
    if (!this.listener) return;
    const { key, chargeId, currency } = charge;
    const state = refundKey === undefined ? charge.state : 'refunded';
    const amountMinor = refundKey === undefined ? charge.amountMinor : charge.refunds.get(refundKey);
    const type = `payment.${state}`;
    const body = JSON.stringify({
      type,
      timestamp: new Date(this.#world.nowMs).toISOString(),
      data: {
        ...{ idempotencyKey: key, reference: key, chargeId, amountMinor, currency },
        ...(state === 'declined' ? { declineCode: 'declined' } : {}),
        ...(refundKey === undefined ? {} : { refundKey }),
      },
    });
    const name = `webhook ${type} ${key.slice(0, 8)}`;
    this.listener(signed(body, `${refundKey ?? key}.${state}`, this.#world.nowMs), name);
  }
}

function copyOf(charge: Charge): Charge {
  return { ...charge, refunds: new Map(charge.refunds) };
}

/** As a question about a charge is answered: what was captured stays so, whatever was given back of it. */
function answerOf({ state, chargeId, amountMinor, currency, key }: Charge): PaymentAnswer {
  if (state === 'declined') return { outcome: state, reason: 'declined' };
  return { outcome: 'captured', chargeId, amountMinor, currency, reference: key };
}

/** A webhook as the provider signs it. */
function signed(rawBody: string, id: string, nowMs: number): SignedMessage {
  const timestamp = String(Math.floor(nowMs / 1000));
  const key = Buffer.from(webhookSecret.replace('whsec_', ''), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${rawBody}`).digest('base64');
  return {
    headers: { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` },
    rawBody,
  };
}
