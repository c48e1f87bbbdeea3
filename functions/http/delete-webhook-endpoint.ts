/** DELETE /webhook-endpoints/{endpointId}. */
import { completedHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { deleteEndpoint } from '#webhooks/endpoint.ts';
import { deleteWebhookEndpointRoute } from './webhooks.routes.ts';

export const handler = completedHandler(
  byKey(deleteWebhookEndpointRoute),
  ({ deps, params }, keep) => deleteEndpoint(deps, params.endpointId, keep),
  () => undefined,
);
