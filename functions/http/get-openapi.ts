/** GET /openapi.json: this API as an OpenAPI document. */
import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { apiDocument } from './document.ts';
import { getOpenapiRoute } from './operations.routes.ts';

const document = apiDocument();

export const handler = httpHandler(
  getOpenapiRoute,
  async () => new Reply({ ...document }, { 'cache-control': 'public, max-age=60' }),
);
