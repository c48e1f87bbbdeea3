/** POST /webhook-endpoints/{endpointId}/deliveries/{messageId}/redeliver: sends a message again. */
import { idempotentHandler } from '#idempotency/kept-answer.ts';
import { redeliver } from '#webhooks/log.ts';
import { redeliverWebhookRoute } from './webhooks.routes.ts';

export const handler = idempotentHandler(redeliverWebhookRoute, ({ deps, params }, keep) =>
  redeliver(deps, params, keep),
);
