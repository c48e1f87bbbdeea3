/** DELETE /webhook-endpoints/{endpointId}. */
import { httpHandler } from '#platform/handlers/http.ts';
import { deleteEndpoint } from '#webhooks/endpoint.ts';
import { deleteWebhookEndpointRoute } from './webhooks.routes.ts';

export const handler = httpHandler(deleteWebhookEndpointRoute, ({ deps, params }) =>
  deleteEndpoint(deps, params.endpointId),
);
