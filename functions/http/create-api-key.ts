/** POST /ops/api-keys: an admin makes a key for a program, and is shown it. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { sealUnder } from '#idempotency/sealing.ts';
import { createApiKey } from '#keys/api-keys.ts';
import { createApiKeyRoute } from './keys.routes.ts';

export const handler = operatorHandler(
  createApiKeyRoute,
  ({ deps, caller, body }, keep) => createApiKey(deps, caller.customerId, body, keep),
  { sealUnder },
);
