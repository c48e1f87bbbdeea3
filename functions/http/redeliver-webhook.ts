/** POST /webhook-endpoints/{endpointId}/deliveries/{messageId}/redeliver: sends a message again. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { redeliver } from '#webhooks/log.ts';
import { redeliverWebhookRoute } from './webhooks.routes.ts';

export const handler = operatorHandler(redeliverWebhookRoute, ({ deps, params }, keep) =>
  redeliver(deps, params, keep),
);
