/** Operators' calls that read and change rows of MySQL and touch nothing else: one function, since all of them need the same. */
import { severalRoutes } from '#platform/handlers/several.ts';
import * as catalog from './catalog.routes.ts';
import { handler as createProduct } from './create-product.ts';
import { handler as deleteWebhookEndpoint } from './delete-webhook-endpoint.ts';
import { handler as getWebhookDelivery } from './get-webhook-delivery.ts';
import { handler as getWebhookEndpoint } from './get-webhook-endpoint.ts';
import { handler as getWebhookRedelivery } from './get-webhook-redelivery.ts';
import * as identity from './identity.routes.ts';
import { handler as importProducts } from './import-products.ts';
import { handler as listOperators } from './list-operators.ts';
import { handler as listWebhookDeliveries } from './list-webhook-deliveries.ts';
import { handler as listWebhookEndpoints } from './list-webhook-endpoints.ts';
import { handler as setRole } from './set-role.ts';
import { handler as updateProduct } from './update-product.ts';
import { handler as updateWebhookEndpoint } from './update-webhook-endpoint.ts';
import * as webhooks from './webhooks.routes.ts';

export const handler = severalRoutes([
  [catalog.createProductRoute, createProduct],
  [catalog.updateProductRoute, updateProduct],
  [catalog.importProductsRoute, importProducts],
  [identity.listOperatorsRoute, listOperators],
  [identity.setRoleRoute, setRole],
  [webhooks.listWebhookEndpointsRoute, listWebhookEndpoints],
  [webhooks.getWebhookEndpointRoute, getWebhookEndpoint],
  [webhooks.updateWebhookEndpointRoute, updateWebhookEndpoint],
  [webhooks.deleteWebhookEndpointRoute, deleteWebhookEndpoint],
  [webhooks.listWebhookDeliveriesRoute, listWebhookDeliveries],
  [webhooks.getWebhookDeliveryRoute, getWebhookDelivery],
  [webhooks.getWebhookRedeliveryRoute, getWebhookRedelivery],
]);
