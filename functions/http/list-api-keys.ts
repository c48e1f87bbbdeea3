/** GET /ops/api-keys: the keys with which programs call. */
import { readApiKeys } from '#keys/api-keys.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { listApiKeysRoute } from './keys.routes.ts';

export const handler = httpHandler(listApiKeysRoute, ({ deps, query }) => readApiKeys(deps, query));
