/** GET /openapi.json: this API as an OpenAPI document. */
import { httpHandler, Reply } from '../../lib/platform/http.ts';
import { openApiDocument } from '../../lib/platform/openapi.ts';
import { getOpenapiRoute } from './operations.routes.ts';
import { routes } from './routes.ts';

const document = openApiDocument(routes);

export const handler = httpHandler(
  getOpenapiRoute,
  async () => new Reply({ ...document }, { 'cache-control': 'public, max-age=60' }),
);
