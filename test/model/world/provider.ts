/**
 * The payment provider in memory: one charge for each idempotency key, refunds, and webhooks that tell of both. By the
 * payment token it declines, takes more than it was asked to, refuses each refund once, or asks the customer to confirm,
 * who may do so as long as the payment is not stopped.
 *
 * Like a real one it answers late, twice or not at all; unlike one it remembers everything, so that afterwards it can be
 * said what was taken from whom (invariant I7). Called by `deps.ts`.
 */
import { createHmac } from 'node:crypto';
import type { SignedMessage } from '#platform/security/webhook-signature.ts';
import type { ChargeOrder, PaymentAnswer, RefundOrder } from '#purchase/provider.ts';
import { Digest, Sum } from './choice.ts';
import { parts, type World } from './world.ts';

export interface Charge {
  readonly chargeId: string;
  readonly key: string;
  readonly amountMinor: number;
  readonly currency: string;
  /** What it was paid with. */
  readonly token: string;
  /** Until when the provider says that it waits for the customer; null if it does not say. */
  readonly actionUntilMs: number | null;
  state: 'requires_action' | 'captured' | 'declined' | 'refunded';
  /** Whether each refund of it is refused when it is asked for the first time. */
  readonly refuses: boolean;
  /** What was given back, by the key under which it was asked for. */
  readonly refunds: Map<string, number>;
}

/** The card to which the provider refuses only what an operator orders as a part. */
export const refusesParts = 'refuses parts';

/** How much of a charge was given back. */
export function givenBack({ refunds }: Charge): number {
  return [...refunds.values()].reduce((sum, amount) => sum + amount, 0);
}

/** How long the provider says that it waits for a customer, where it says so. */
const actionLifeMs = 60_000;

/** The secret with which shipped code verifies a webhook. */
export const webhookSecret = `whsec_${Buffer.from('the secret of the model').toString('base64')}`;

export class PaymentService {
  readonly charges = new Map<string, Charge>();
  /** How often a charge was captured, by what it was for. */
  readonly captures = new Map<string, number>();
  /** Receives the provider's webhooks, if set. */
  listener: ((message: SignedMessage, name: string) => void) | undefined;
  /** Told of each payment that waits for its customer, if set. */
  asksCustomer: ((key: string) => void) | undefined;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  reset(): void {
    this.charges.clear();
    this.captures.clear();
    this.listener = undefined;
    this.asksCustomer = undefined;
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
    const state = stateOf(order.paymentToken);
    const charge: Charge = {
      chargeId: `ch-${order.purchaseId.slice(0, 8)}`,
      key: order.purchaseId,
      amountMinor: order.amountMinor + (order.paymentToken.startsWith('more') ? 1 : 0),
      currency: order.currency,
      refuses: order.paymentToken.startsWith('refuses'),
      token: order.paymentToken,
      actionUntilMs: order.paymentToken.startsWith('asks soon') ? this.#world.nowMs + actionLifeMs : null,
      state,
      refunds: new Map(),
    };
    this.charges.set(order.purchaseId, charge);
    if (state === 'captured') this.#count(charge);
    this.#tell(charge);
    if (state === 'requires_action') this.asksCustomer?.(charge.key);
    return answerOf(charge);
  }

  /** The customer of a payment does what it waits for, or refuses. Nothing happens if it does not wait any more. */
  decide(key: string, confirms: boolean): void {
    const charge = this.charges.get(key);
    if (charge?.state !== 'requires_action') return;
    this.#world.writes |= parts.provider;
    charge.state = confirms ? 'captured' : 'declined';
    if (confirms) this.#count(charge);
    this.#tell(charge);
  }

  #count({ token }: Charge): void {
    this.captures.set(token, (this.captures.get(token) ?? 0) + 1);
  }

  find(key: string): PaymentAnswer {
    const known = this.charges.get(key);
    return known ? answerOf(known) : { outcome: 'absent' };
  }

  /** Stops a payment that waits for its customer; one that does not is answered as it is. */
  cancel(key: string): PaymentAnswer {
    this.decide(key, false);
    return this.find(key);
  }

  refund({ purchaseId, chargeId, refundKey, refusals, amountMinor }: RefundOrder): PaymentAnswer {
    const known = [...this.charges.values()].find((charge) => charge.chargeId === chargeId);
    if (!known || !isPaid(known)) return { outcome: 'refused', refundKey, reason: 'no_such_charge' };
    const isRefused = known.refuses && (known.token !== refusesParts || refundKey.startsWith('part-'));
    if (isRefused && refusals === 0) return { outcome: 'refused', refundKey, reason: 'try_later' };
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
        ...(state === 'requires_action' ? { action: actionOf(charge) } : {}),
        ...(refundKey === undefined ? {} : { refundKey }),
      },
    });
    const name = `webhook ${type} ${key.slice(0, 8)}`;
    this.listener(signed(body, `${refundKey ?? key}.${state}`, this.#world.nowMs), name);
  }
}

/** Whether money was taken for a charge, given back or not. */
export function isPaid({ state }: Charge): boolean {
  return state === 'captured' || state === 'refunded';
}

function stateOf(token: string): Charge['state'] {
  if (token === 'declined') return 'declined';
  return token.startsWith('asks') ? 'requires_action' : 'captured';
}

/** What the customer is asked to do, as the provider's webhook says it. */
function actionOf({ key, actionUntilMs }: Charge): { url: string; expiresAt: string | null } {
  const expiresAt = actionUntilMs === null ? null : new Date(actionUntilMs).toISOString();
  return { url: `https://payments.example/confirm/${key}`, expiresAt };
}

function copyOf(charge: Charge): Charge {
  return { ...charge, refunds: new Map(charge.refunds) };
}

/** As a question about a charge is answered: what was captured stays so, whatever was given back of it. */
function answerOf(charge: Charge): PaymentAnswer {
  const { state, chargeId, amountMinor, currency, key, actionUntilMs } = charge;
  if (state === 'declined') return { outcome: state, reason: 'declined' };
  if (state === 'requires_action') return { outcome: state, url: actionOf(charge).url, deadlineMs: actionUntilMs };
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
