/** GET /webhook-endpoints/{endpointId}/deliveries/{messageId}: one delivery, with what is sent. */
import { byKey } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { readDelivery } from '#webhooks/log.ts';
import { getWebhookDeliveryRoute } from './webhooks.routes.ts';

export const handler = httpHandler(byKey(getWebhookDeliveryRoute), ({ deps, params }) => readDelivery(deps, params));
