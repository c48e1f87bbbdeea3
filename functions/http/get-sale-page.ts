/** GET /pages/sales/{saleId}: the shop's page with the preview of a sale. */
import { getSaleWithPicture } from '#launch/read-sale.ts';
import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { addressOf } from '#platform/handlers/limits.ts';
import { originAtEdge } from '#platform/security/edge.ts';
import { pageHeaders } from '#web/headers.ts';
import { salePage } from '#web/preview.ts';
import { shopShell } from '#web/shell.ts';
import { getSalePageRoute } from './sale.routes.ts';

export const handler = httpHandler(getSalePageRoute, async (call) => {
  const { html, isPreviewed } = await salePage({
    shell: await call.deps.once(shopShell),
    origin: originAtEdge(call.headers),
    languages: call.headers['accept-language'],
    code: call.query.code,
    read: () => getSaleWithPicture(call.deps, call.params.saleId, addressOf(call), call.query.code),
  });
  // The distribution keeps a preview for a minute; a page without one is asked for again.
  return new Reply(html, { ...pageHeaders(), 'cache-control': isPreviewed ? 'public, max-age=60' : 'no-store' });
});
