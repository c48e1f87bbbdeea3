/** What operators do with webhook endpoints in MySQL alone: one function, as all of it may do the same. */
import { severalRoutes } from '#platform/handlers/several.ts';
import { handler as deleteWebhookEndpoint } from './delete-webhook-endpoint.ts';
import { handler as getWebhookDelivery } from './get-webhook-delivery.ts';
import { handler as getWebhookEndpoint } from './get-webhook-endpoint.ts';
import { handler as getWebhookRedelivery } from './get-webhook-redelivery.ts';
import { handler as listWebhookDeliveries } from './list-webhook-deliveries.ts';
import { handler as listWebhookEndpoints } from './list-webhook-endpoints.ts';
import { handler as updateWebhookEndpoint } from './update-webhook-endpoint.ts';
import * as webhooks from './webhooks.routes.ts';

export const handler = severalRoutes([
  [webhooks.listWebhookEndpointsRoute, listWebhookEndpoints],
  [webhooks.getWebhookEndpointRoute, getWebhookEndpoint],
  [webhooks.updateWebhookEndpointRoute, updateWebhookEndpoint],
  [webhooks.deleteWebhookEndpointRoute, deleteWebhookEndpoint],
  [webhooks.listWebhookDeliveriesRoute, listWebhookDeliveries],
  [webhooks.getWebhookDeliveryRoute, getWebhookDelivery],
  [webhooks.getWebhookRedeliveryRoute, getWebhookRedelivery],
]);
