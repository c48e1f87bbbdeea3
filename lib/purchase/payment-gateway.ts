/**
 * A payment provider over HTTP, in the protocol of the sandbox: several load-balanced instances of one service, each behind a breaker of its own.
 *
 * Invariant I7 depends on one distinction made here: whether a call certainly never arrived (`unsent`), or may have and
 * only its answer is missing (`unknown`). Only the first may go to another instance at once; the second must be asked
 * about. A timeout, a broken connection, a 5xx and an answer that makes no sense are all `unknown`. A 4xx is an answer of a
 * healthy provider: it opens no breaker, even if the payment is refused.
 *
 * Amounts go out and come back in the minor units of ISO 4217 (`money.ts`), which this provider uses for every currency. If
 * a provider uses other digits for some, they are translated here and nowhere else.
 *
 * Every call brings its own deadline, since neither fetch nor a breaker would ever give up by itself.
 */

import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import type { PurchaseId } from '#platform/kernel/ids.ts';
import { locate, locateAll } from '#platform/kernel/registry.ts';
import { providerCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { Busy, exchange, type HttpReply, NoAnswer, Unclear } from '#platform/payments/exchange.ts';
import { sharedBreaker } from '#platform/redis/shared-circuit-breaker.ts';
import { type Breaker, BreakerOpen, type BreakerState } from '#platform/resilience/circuit-breaker.ts';
import type { PaymentAnswer, PaymentProvider, RefundOrder } from './provider.ts';
import { RequiredAction } from './purchase.shapes.ts';

/** The provider over HTTP. */
export interface PaymentGateway extends PaymentProvider {
  /** Each instance with the state of its breaker, for the operator. */
  instances(): { readonly address: string; readonly state: BreakerState }[];
}

export interface GatewayOptions {
  /** Base addresses of the instances. They share their charges and idempotency keys: they are one service. */
  readonly addresses: readonly string[];
  readonly apiKey: string;
  /** Where breakers are kept and shared. */
  readonly shared: Needs<'redis' | 'clock' | 'breakers'>;
  readonly callTimeoutMs?: number;
  /** How long a failed instance is not called. */
  readonly resetTimeoutMs?: number;
}

/** A charge in the provider's answers. */
const ChargeReply = z.object({
  id: z.string().min(1).max(64),
  status: z.enum(['captured', 'declined', 'refunded', 'requires_action']),
  amountMinor: z.int(),
  currency: z.string().max(16),
  reference: z.string().max(255),
  declineCode: z.string().max(64).nullish(),
  /** The customer's action, if the charge is `requires_action`. */
  action: RequiredAction.nullish(),
});

/** What a refund looks like in the provider's answers. */
const RefundReply = z.object({
  id: z.string().min(1).max(64),
  status: z.literal('refunded'),
  amountMinor: z.int().positive(),
});

/** What the provider says when it refuses. */
const Refusal = z.object({ error: z.object({ code: z.string().min(1) }) });

/** 4xx answers that do not judge the request: the provider did not read it, or refused the caller. */
const notAboutTheRequest = [401, 403, 408, 425];

const defaultResetTimeoutMs = 5_000;
/** The length of the column for reasons. */
export const reasonCharacters = 64;

interface Instance {
  readonly address: string;
  readonly guard: Breaker;
  inFlight: number;
}

/** The payment provider in the sandbox's protocol of this environment; kept by `deps.once(paymentGateway)`. */
export function paymentGateway(deps: Needs<'registry' | 'redis' | 'clock' | 'breakers'>): PaymentGateway {
  return openPaymentGateway({
    addresses: locateAll(deps.registry, 'provider/payments'),
    apiKey: locate(deps.registry, 'secret/payment-api-key'),
    shared: deps,
  });
}

/** Opens the provider. Nothing is called yet. */
export function openPaymentGateway(options: GatewayOptions): PaymentGateway {
  const { apiKey, callTimeoutMs = providerCallTimeoutMs, resetTimeoutMs = defaultResetTimeoutMs } = options;
  const instances = options.addresses.map((address): Instance => {
    const guard = sharedBreaker(options.shared, `payments:${new URL(address).host}`, {
      resetTimeoutMs,
      isRefusal: (error) => error instanceof Unclear,
    });
    return { address: address.replace(/\/$/, ''), guard, inFlight: 0 };
  });
  let turn = 0;

  /** The instances in the order in which to try them: the least busy first, round-robin among equals. */
  function inOrder(): Instance[] {
    const start = turn++ % instances.length;
    return [...instances.slice(start), ...instances.slice(0, start)].sort((a, b) => a.inFlight - b.inFlight);
  }

  /** Calls one instance after the other until one accepts the call; stops once something may have been done. */
  async function call(
    method: 'GET' | 'POST',
    path: string,
    idempotencyKey: string | undefined,
    body: unknown,
    interpret: (reply: HttpReply) => PaymentAnswer,
  ): Promise<PaymentAnswer> {
    const headers = {
      authorization: `Bearer ${apiKey}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
    };
    let reason = 'no instance of the payment provider is registered';
    for (const instance of inOrder()) {
      instance.inFlight++;
      try {
        return await instance.guard.run(async () => {
          const signal = AbortSignal.timeout(callTimeoutMs);
          return interpret(await exchange(instance.address + path, { method, headers, body, signal }));
        });
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
        const nothingWasDone = error instanceof BreakerOpen || error instanceof Busy;
        if (!nothingWasDone) return { outcome: 'unknown', reason };
      } finally {
        instance.inFlight--;
      }
    }
    return { outcome: 'unsent', reason };
  }

  return {
    charge: ({ purchaseId, amountMinor, currency, paymentToken }) =>
      call(
        'POST',
        '/v1/charges',
        chargeKey(purchaseId),
        { amountMinor, currency, token: paymentToken, reference: purchaseId },
        (reply) =>
          // A request that the provider rejects would be rejected again, and charged nothing.
          // Except 422: this key was used with another request, whose outcome must be queried.
          reply.status === 400 || reply.status === 402
            ? { outcome: 'declined', reason: 'refused_by_provider' }
            : chargeAnswer(reply),
      ),
    find: (purchaseId) =>
      call('GET', `/v1/charges/${encodeURIComponent(purchaseId)}`, undefined, undefined, (reply) =>
        reply.status === 404 ? { outcome: 'absent' } : chargeAnswer(reply),
      ),
    cancel: (purchaseId, reason) => {
      const path = `/v1/charges/${encodeURIComponent(purchaseId)}/cancel`;
      return call('POST', path, `${purchaseId}:cancel`, { reason }, (reply) =>
        reply.status === 404 ? { outcome: 'absent' } : chargeAnswer(reply),
      );
    },
    refund: (order) => {
      const path = `/v1/charges/${encodeURIComponent(order.chargeId)}/refunds`;
      const { refundKey, amountMinor, chargeId } = order;
      return call('POST', path, refundIdempotencyKey(order), { amountMinor }, (reply) => {
        if (isRefused(reply.status)) return { outcome: 'refused', refundKey, reason: reasonOf(reply) };
        const { id: refundId, amountMinor: given } = read(reply, RefundReply);
        return { outcome: 'refunded', chargeId, refundKey, refundId, amountMinor: given };
      });
    },
    instances: () => instances.map(({ address, guard }) => ({ address, state: guard.state() })),
  };
}

/** The idempotency key of a purchase's charge: always the same, so that the purchase is charged once (invariant I7). */
export function chargeKey(purchaseId: PurchaseId): string {
  return purchaseId;
}

/** The idempotency key of a refund. The provider may remember a refusal under its key, so a retry gets a new one. */
export function refundIdempotencyKey({ purchaseId, refundKey, refusals }: RefundOrder): string {
  return `${purchaseId}:${refundKey}${refusals > 0 ? `~${refusals}` : ''}`;
}

/** The refund of ours that was asked for under this idempotency key, and how many refusals came before; undefined if none was. */
export function refundAskedUnder(
  purchaseId: PurchaseId,
  idempotencyKey: string,
): Pick<RefundOrder, 'refundKey' | 'refusals'> | undefined {
  const prefix = `${purchaseId}:`;
  if (!idempotencyKey.startsWith(prefix)) return undefined;
  const [refundKey = '', refusals = '0'] = idempotencyKey.slice(prefix.length).split(/~(\d+)$/);
  return { refundKey, refusals: Number(refusals) };
}

/** Whether a status is a refusal that the same request would get again. */
function isRefused(status: number): boolean {
  return status >= 400 && status < 500 && !notAboutTheRequest.includes(status);
}

function reasonOf({ status, body }: HttpReply): string {
  const code = Refusal.safeParse(body).data?.error.code;
  return (code ?? `http_${status}`).slice(0, reasonCharacters);
}

function chargeAnswer(reply: HttpReply): PaymentAnswer {
  const charge = read(reply, ChargeReply);
  if (charge.status === 'declined') return { outcome: 'declined', reason: charge.declineCode ?? 'declined' };
  if (charge.status === 'requires_action') {
    if (!charge.action) throw new NoAnswer('the provider does not say what the customer must do');
    return actionAnswer(charge.action);
  }
  const { id: chargeId, amountMinor, currency, reference } = charge;
  if (charge.status === 'refunded') return { outcome: 'refunded', chargeId, amountMinor: null };
  return { outcome: 'captured', chargeId, amountMinor, currency, reference };
}

/** The provider's request for an action of the customer, as an answer. */
export function actionAnswer({ url, expiresAt }: RequiredAction): PaymentAnswer {
  return { outcome: 'requires_action', url, deadlineMs: expiresAt ? Date.parse(expiresAt) : null };
}

/** The body of a success, validated; anything else is `NoAnswer`. */
function read<T>(reply: HttpReply, shape: z.ZodType<T>): T {
  if (reply.status >= 400 && reply.status < 500) throw new Unclear(`the provider answered ${reply.status}`);
  if (reply.status !== 200 && reply.status !== 201) throw new NoAnswer(`the provider answered ${reply.status}`);
  const result = shape.safeParse(reply.body);
  if (!result.success) throw new NoAnswer('the provider sent a malformed answer');
  return result.data;
}
