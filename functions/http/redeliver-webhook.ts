/** POST /webhook-endpoints/{endpointId}/deliveries/{messageId}/redeliver: sends a message again. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { redeliver } from '#webhooks/log.ts';
import { redeliverWebhookRoute } from './webhooks.routes.ts';

export const handler = operatorHandler(byKey(redeliverWebhookRoute), ({ deps, params }, keep) =>
  redeliver(deps, params, keep),
);
