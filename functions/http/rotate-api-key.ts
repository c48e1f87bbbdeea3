/** POST /ops/api-keys/{keyId}/secret: gives a key another secret, and shows it. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { sealUnder } from '#idempotency/sealing.ts';
import { rotateApiKey } from '#keys/api-keys.ts';
import { rotateApiKeyRoute } from './keys.routes.ts';

export const handler = operatorHandler(
  rotateApiKeyRoute,
  ({ deps, params, body }, keep) => rotateApiKey(deps, params.keyId, body, keep),
  { sealUnder },
);
