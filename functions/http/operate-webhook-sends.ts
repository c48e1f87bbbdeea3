/** The calls with which operators have webhooks sent: one function, as all of them may do the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as redeliverWebhook } from './redeliver-webhook.ts';
import { handler as redeliverWebhooks } from './redeliver-webhooks.ts';
import { handler as testWebhookEndpoint } from './test-webhook-endpoint.ts';
import * as webhooks from './webhooks.routes.ts';

export const handler = severalRoutes([
  [webhooks.testWebhookEndpointRoute, testWebhookEndpoint],
  [webhooks.redeliverWebhookRoute, redeliverWebhook],
  [webhooks.redeliverWebhooksRoute, redeliverWebhooks],
]);
