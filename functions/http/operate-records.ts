/** Operators' calls that keep the catalog, the roles and the endpoints of webhooks: one function, since all of them need the same. */
import { severalRoutes } from '#platform/handlers/several.ts';
import * as catalog from './catalog.routes.ts';
import { handler as createProduct } from './create-product.ts';
import { handler as deleteWebhookEndpoint } from './delete-webhook-endpoint.ts';
import * as identity from './identity.routes.ts';
import { handler as importProducts } from './import-products.ts';
import { handler as listOperators } from './list-operators.ts';
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
  [webhooks.updateWebhookEndpointRoute, updateWebhookEndpoint],
  [webhooks.deleteWebhookEndpointRoute, deleteWebhookEndpoint],
]);
