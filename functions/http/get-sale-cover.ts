/** GET /pages/sales/{saleId}/cover: the picture of a sale, which follows from its id. */
import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { coverPng } from '#web/cover-png.ts';
import { getSaleCoverRoute } from './sale.routes.ts';

export const handler = httpHandler(
  getSaleCoverRoute,
  async ({ params }) => new Reply(coverPng(params.saleId), { 'cache-control': 'public, max-age=86400' }),
);
