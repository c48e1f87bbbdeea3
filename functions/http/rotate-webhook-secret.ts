/** POST /webhook-endpoints/{endpointId}/secret: gives an endpoint another secret and shows it. */
import { completedHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { rotateSecret, withSecret } from '#webhooks/endpoint.ts';
import { rotateWebhookSecretRoute } from './webhooks.routes.ts';

export const handler = completedHandler(
  byKey(rotateWebhookSecretRoute),
  ({ deps, params, body }, keep) => rotateSecret(deps, params.endpointId, body, keep),
  withSecret,
);
