/** PATCH /webhook-endpoints/{endpointId}: changes an endpoint, pauses it, or switches it on again. */
import { httpHandler } from '#platform/handlers/http.ts';
import { changeEndpoint } from '#webhooks/endpoint.ts';
import { updateWebhookEndpointRoute } from './webhooks.routes.ts';

export const handler = httpHandler(updateWebhookEndpointRoute, ({ deps, params, body }) =>
  changeEndpoint(deps, params.endpointId, body),
);
