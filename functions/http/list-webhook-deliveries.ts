/** GET /webhook-endpoints/{endpointId}/deliveries: what an endpoint was sent, and how that went. */
import { byKey } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { readDeliveries } from '#webhooks/log.ts';
import { listWebhookDeliveriesRoute } from './webhooks.routes.ts';

export const handler = httpHandler(byKey(listWebhookDeliveriesRoute), ({ deps, params, query }) =>
  readDeliveries(deps, params.endpointId, query),
);
