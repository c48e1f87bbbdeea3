/** GET /openapi.json: this API as an OpenAPI document. */
import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { openApiDocument } from '#platform/handlers/openapi.ts';
import { documentedWebhooks } from '#webhooks/message.shapes.ts';
import { getOpenapiRoute } from './operations.routes.ts';
import { routes } from './routes.ts';

const document = openApiDocument(routes, documentedWebhooks);

export const handler = httpHandler(
  getOpenapiRoute,
  async () => new Reply({ ...document }, { 'cache-control': 'public, max-age=60' }),
);
