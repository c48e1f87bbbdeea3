/** PATCH /webhook-endpoints/{endpointId}: changes an endpoint, pauses it, or switches it on again. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { changeEndpoint } from '#webhooks/endpoint.ts';
import { updateWebhookEndpointRoute } from './webhooks.routes.ts';

export const handler = operatorHandler(byKey(updateWebhookEndpointRoute), ({ deps, params, body }, keep) =>
  changeEndpoint(deps, params.endpointId, body, keep),
);
