/** GET /docs: this API as a page to read and to try. */
import { apiReferencePage, contentSecurityPolicy } from '#operations/api-reference.ts';
import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { getDocsRoute } from './operations.routes.ts';

export const handler = httpHandler(
  getDocsRoute,
  async () =>
    new Reply(apiReferencePage, {
      'cache-control': 'public, max-age=60',
      'content-security-policy': contentSecurityPolicy,
    }),
);
