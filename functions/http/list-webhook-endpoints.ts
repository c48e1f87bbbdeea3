/** GET /webhook-endpoints: all endpoints and how they are doing. */
import { byKey } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { readEndpoints } from '#webhooks/endpoint.ts';
import { listWebhookEndpointsRoute } from './webhooks.routes.ts';

export const handler = httpHandler(byKey(listWebhookEndpointsRoute), ({ deps }) => readEndpoints(deps));
