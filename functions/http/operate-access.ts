/** What admins alone do, and no API key: who has which role, and the keys, but for showing one. One function, since all of it needs the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import * as identity from './identity.routes.ts';
import * as keys from './keys.routes.ts';
import { handler as listApiKeys } from './list-api-keys.ts';
import { handler as listOperators } from './list-operators.ts';
import { handler as revokeApiKey } from './revoke-api-key.ts';
import { handler as setRole } from './set-role.ts';

export const handler = severalRoutes([
  [identity.listOperatorsRoute, listOperators],
  [identity.setRoleRoute, setRole],
  [keys.listApiKeysRoute, listApiKeys],
  [keys.revokeApiKeyRoute, revokeApiKey],
]);
