/** POST /ops/api-keys/{keyId}/secret: gives a key another secret, and shows it. */
import { completedHandler } from '#idempotency/kept-answer.ts';
import { rotateApiKey, withKey } from '#keys/api-keys.ts';
import { rotateApiKeyRoute } from './keys.routes.ts';

export const handler = completedHandler(
  rotateApiKeyRoute,
  ({ deps, params, body }, keep) => rotateApiKey(deps, params.keyId, body, keep),
  withKey,
);
