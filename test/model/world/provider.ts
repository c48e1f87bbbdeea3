/**
 * The payment provider in memory: one charge for each idempotency key, refunds, and webhooks that tell of both.
 *
 * Like a real one it answers late, twice or not at all; unlike one it remembers everything, so that afterwards it can be
 * said what was taken from whom (invariant I7). Called by `deps.ts`.
 */
import { createHmac } from 'node:crypto';
import type { SignedMessage } from '#platform/security/webhook-signature.ts';
import type { PaymentAnswer } from '#purchase/provider.ts';
import { Digest, Sum } from './choice.ts';
import type { World } from './world.ts';

export interface Charge {
  readonly chargeId: string;
  readonly key: string;
  readonly amountMinor: number;
  state: 'captured' | 'declined' | 'refunded';
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
    return [...this.charges.values()].map((charge) => ({ ...charge }));
  }

  restore(charges: readonly Charge[]): void {
    for (const charge of charges) this.charges.set(charge.key, { ...charge });
  }

  charge(order: { purchaseId: string; amountMinor: number; paymentToken: string }): PaymentAnswer {
    const known = this.charges.get(order.purchaseId);
    if (known) return answerOf(known);
    if (order.paymentToken === '') return { outcome: 'declined', reason: 'no token' };
    const declined = order.paymentToken === 'declined';
    const charge: Charge = {
      chargeId: `ch-${order.purchaseId.slice(0, 8)}`,
      key: order.purchaseId,
      amountMinor: order.amountMinor,
      state: declined ? 'declined' : 'captured',
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

  refund(order: { purchaseId: string; chargeId: string }): PaymentAnswer {
    const known = [...this.charges.values()].find((charge) => charge.chargeId === order.chargeId);
    if (!known || known.state === 'declined') return { outcome: 'unknown', reason: 'no such charge' };
    if (known.state === 'captured') {
      known.state = 'refunded';
      this.#tell(known);
    }
    return { outcome: 'refunded', chargeId: known.chargeId };
  }

  digest(): number {
    const sum = new Sum();
    for (const { key, state } of this.charges.values()) sum.add(new Digest().text(key).text(state).value());
    return sum.value();
  }

  #tell(charge: Charge): void {
    if (!this.listener) return;
    const { key, chargeId, state } = charge;
    const type = `payment.${state}`;
    const body = JSON.stringify({
      type,
      timestamp: new Date(this.#world.nowMs).toISOString(),
      data: { idempotencyKey: key, chargeId, ...(state === 'declined' ? { declineCode: 'declined' } : {}) },
    });
    const name = `webhook ${type} ${key.slice(0, 8)}`;
    this.listener(signed(body, `${key}.${state}`, this.#world.nowMs), name);
  }
}

function answerOf({ state, chargeId }: Charge): PaymentAnswer {
  return state === 'declined' ? { outcome: state, reason: 'declined' } : { outcome: state, chargeId };
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
