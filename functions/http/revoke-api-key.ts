/** DELETE /ops/api-keys/{keyId}: revokes a key. */
import { completedHandler } from '#idempotency/kept-answer.ts';
import { revokeApiKey } from '#keys/api-keys.ts';
import { revokeApiKeyRoute } from './keys.routes.ts';

export const handler = completedHandler(
  revokeApiKeyRoute,
  ({ deps, params }, keep) => revokeApiKey(deps, params.keyId, keep),
  () => undefined,
);
