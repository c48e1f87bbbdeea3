/** POST /webhook-endpoints/{endpointId}/test: sends an endpoint a message to try it. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { sendTest } from '#webhooks/log.ts';
import { testWebhookEndpointRoute } from './webhooks.routes.ts';

export const handler = operatorHandler(byKey(testWebhookEndpointRoute), ({ deps, params }, keep) =>
  sendTest(deps, params.endpointId, keep),
);
