/** POST /webhook-endpoints: creates an endpoint and shows its secret. */
import { completedHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { createEndpoint, withSecret } from '#webhooks/endpoint.ts';
import { createWebhookEndpointRoute } from './webhooks.routes.ts';

export const handler = completedHandler(
  byKey(createWebhookEndpointRoute),
  ({ deps, body }, keep) => createEndpoint(deps, body, keep),
  withSecret,
);
