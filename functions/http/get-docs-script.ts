/** GET /docs/scalar.js: the script of the page at /docs. */
import { apiReferenceScript } from '#operations/scalar-script.ts';
import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { getDocsScriptRoute } from './operations.routes.ts';

export const handler = httpHandler(
  getDocsScriptRoute,
  async ({ deps }) =>
    new Reply(await deps.once(apiReferenceScript), {
      'cache-control': 'public, max-age=86400',
      'content-encoding': 'gzip',
    }),
);
