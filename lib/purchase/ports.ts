/**
 * Purchases on real components: the ports of every verb of this noun, made from the dependencies of the process.
 * Called by the functions; tests and the model bring ports of their own.
 */
import { publishEvents } from '#events/outbox.ts';
import { refreshMirror } from '#mirror/mirror.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { locate, locateAll } from '#platform/environment/discovery.ts';
import { httpFunctionTimeoutSeconds } from '#platform/kernel/time-limits.ts';
import { keys } from '#platform/redis/keys.ts';
import { redisBreaker } from '#platform/redis/redis.ts';
import type { AcceptPorts } from './accept.ts';
import type { PayPorts } from './pay.ts';
import { openPayments, type Payments } from './payment-gateway.ts';
import type { RefundPorts } from './refund.ts';
import type { ResendPorts } from './resend-open.ts';
import { purchaseStore } from './store.ts';
import type { WebhookPorts } from './webhook.ts';

/** A claim outlives no request: the function is over by then, and a dead one blocks its key no longer. */
const claimLifeMs = httpFunctionTimeoutSeconds * 1_000;

const opened = new WeakMap<Deps, Payments>();

/** The payment provider of this process, opened when first needed. */
export function paymentsOf(deps: Deps): Payments {
  const known = opened.get(deps);
  if (known) return known;
  const { registry, redis, clock } = deps;
  const payments = openPayments({
    addresses: locateAll(registry, 'provider/payments'),
    apiKey: locate(registry, 'secret/payment-api-key'),
    redis,
    clock,
  });
  opened.set(deps, payments);
  return payments;
}

/** Everything the verbs of this noun need. The provider and its secrets are looked up only by those who use them. */
export function purchasePorts(deps: Deps): AcceptPorts & PayPorts & RefundPorts & ResendPorts & WebhookPorts {
  const { clock, db, redis } = deps;
  return {
    clock,
    store: purchaseStore(db),
    random: Math.random,
    get provider() {
      return paymentsOf(deps);
    },
    get webhookSecret() {
      return locate(deps.registry, 'secret/payment-webhook');
    },
    enqueue: (messages) => deps.queue('purchases').sendAll(messages),
    mirror: (stocks, reservations) => refreshMirror(deps, stocks, reservations),
    publish: (events) => publishEvents(db, deps.bus, events),
    claim: async (purchaseId) => {
      const key = keys.running('purchase', purchaseId);
      // Without Redis nobody is kept out here; the row's primary key keeps out the second writer.
      const claimed = await redisBreaker.run(() => redis.set(key, '1', 'PX', claimLifeMs, 'NX')).catch(() => 'OK');
      return claimed === 'OK';
    },
    release: async (purchaseId) => {
      await redisBreaker.run(() => redis.del(keys.running('purchase', purchaseId))).catch(() => undefined);
    },
  };
}
