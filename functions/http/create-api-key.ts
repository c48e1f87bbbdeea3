/** POST /ops/api-keys: an admin makes a key for a program, and is shown it. */
import { completedHandler } from '#idempotency/kept-answer.ts';
import { createApiKey, withKey } from '#keys/api-keys.ts';
import { createApiKeyRoute } from './keys.routes.ts';

export const handler = completedHandler(
  createApiKeyRoute,
  ({ deps, caller, body }, keep) => createApiKey(deps, caller.customerId, body, keep),
  withKey,
);
