/** POST /webhook-endpoints/{endpointId}/redeliveries: begins to send again what an endpoint lacks of some time. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { startRedelivery } from '#webhooks/redelivery.ts';
import { redeliverWebhooksRoute } from './webhooks.routes.ts';

export const handler = operatorHandler(
  byKey(redeliverWebhooksRoute),
  ({ deps, params, body }, keep) => startRedelivery(deps, params.endpointId, body, keep),
  { headersOf: ({ statusUrl }) => ({ location: statusUrl }) },
);
