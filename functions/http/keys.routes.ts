/** The routes of API keys: admins make them, give them other secrets and revoke them. No key may. */
import { ApiKeyPage, ApiKeyPath, ApiKeyWithSecret, NewApiKey, RotateApiKey } from '#keys/keys.shapes.ts';
import { PageQuery } from '#platform/handlers/pagination.ts';
import { defineRoute } from '#platform/handlers/route.ts';

const tag = 'API keys';
const keys = '/ops/api-keys';

export const listApiKeysRoute = defineRoute({
  method: 'GET',
  path: keys,
  summary: 'All API keys and when each was last used, newest first, those that are over too',
  tag,
  auth: 'admin',
  query: PageQuery,
  status: 200,
  reply: ApiKeyPage,
  refusals: ['unprocessable'],
});

export const createApiKeyRoute = defineRoute({
  method: 'POST',
  path: keys,
  summary: 'Make an API key for a program; the answer shows it, and no other does',
  description:
    'A program sends it as `Authorization: Bearer hfk_…`. With the scope `customers:act` it names the customer for whom it acts by ' +
    '`Holdfast-Customer`: the external id, which makes an account where it is seen for the first time.',
  tag,
  auth: 'admin',
  idempotent: 'optional',
  sealed: true,
  body: NewApiKey,
  example: { name: 'Storefront', scopes: ['customers:act', 'sales:read'], expiresInDays: 90 },
  status: 201,
  reply: ApiKeyWithSecret,
  refusals: [],
});

export const rotateApiKeyRoute = defineRoute({
  method: 'POST',
  path: `${keys}/{keyId}/secret`,
  summary: 'Give an API key another secret; for a while the old one is valid as well',
  tag,
  auth: 'admin',
  params: ApiKeyPath,
  idempotent: 'optional',
  sealed: true,
  body: RotateApiKey,
  bodyOptional: true,
  example: { overlapSeconds: 3_600 },
  status: 200,
  reply: ApiKeyWithSecret,
  refusals: ['illegal_state'],
});

export const revokeApiKeyRoute = defineRoute({
  method: 'DELETE',
  path: `${keys}/{keyId}`,
  summary: 'Revoke an API key for good, with all its secrets; it is refused everywhere within ten seconds',
  tag,
  auth: 'admin',
  params: ApiKeyPath,
  idempotent: 'optional',
  status: 204,
  refusals: [],
});
