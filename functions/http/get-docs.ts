/** GET /docs: this API as a page to read. */
import { docsPage } from '#operations/docs-page.ts';
import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { openApiDocument } from '#platform/handlers/openapi.ts';
import { getDocsRoute } from './operations.routes.ts';
import { routes } from './routes.ts';

const page = docsPage(openApiDocument(routes));

/** Nothing on the page comes from elsewhere, and nothing on it runs. */
const policy =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export const handler = httpHandler(
  getDocsRoute,
  async () => new Reply(page, { 'cache-control': 'public, max-age=60', 'content-security-policy': policy }),
);
