/** GET /webhook-endpoints/{endpointId}/redeliveries/{redeliveryId}: how far sending again has come. */
import { byKey } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { readRedelivery } from '#webhooks/redelivery.ts';
import { getWebhookRedeliveryRoute } from './webhooks.routes.ts';

export const handler = httpHandler(byKey(getWebhookRedeliveryRoute), ({ deps, params }) =>
  readRedelivery(deps, params.endpointId, params.redeliveryId),
);
