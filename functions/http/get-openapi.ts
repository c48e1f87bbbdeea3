/** GET /openapi.json: this API as an OpenAPI document. */
import type { Needs } from '#platform/environment/deps.ts';
import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { apiDocument } from './document.ts';
import { getOpenapiRoute } from './operations.routes.ts';

const documentOf = ({ registry }: Needs<'registry'>) => apiDocument({ url: registry['api/public'] });

export const handler = httpHandler(
  getOpenapiRoute,
  async ({ deps }) => new Reply({ ...deps.once(documentOf) }, { 'cache-control': 'public, max-age=60' }),
);
