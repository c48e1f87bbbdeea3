/** GET /webhook-endpoints/{endpointId}: one endpoint and how it is doing. */
import { byKey } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { readEndpoint } from '#webhooks/endpoint.ts';
import { getWebhookEndpointRoute } from './webhooks.routes.ts';

export const handler = httpHandler(byKey(getWebhookEndpointRoute), ({ deps, params }) =>
  readEndpoint(deps, params.endpointId),
);
