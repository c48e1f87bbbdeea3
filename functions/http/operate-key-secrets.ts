/** The calls of admins whose answers show an API key, which are kept sealed: one function, as both need the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as createApiKey } from './create-api-key.ts';
import * as keys from './keys.routes.ts';
import { handler as rotateApiKey } from './rotate-api-key.ts';

export const handler = severalRoutes([
  [keys.createApiKeyRoute, createApiKey],
  [keys.rotateApiKeyRoute, rotateApiKey],
]);
