/** The calls of operators whose answers show the secret of a webhook endpoint: one function, as both may do the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as createWebhookEndpoint } from './create-webhook-endpoint.ts';
import { handler as rotateWebhookSecret } from './rotate-webhook-secret.ts';
import * as webhooks from './webhooks.routes.ts';

export const handler = severalRoutes([
  [webhooks.createWebhookEndpointRoute, createWebhookEndpoint],
  [webhooks.rotateWebhookSecretRoute, rotateWebhookSecret],
]);
