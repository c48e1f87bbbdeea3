/** GET /sales: all sales, newest first. */

import { listSalePage } from '#launch/read-sale.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perAddress } from '#platform/handlers/limits.ts';
import { listSalesRoute } from './sale.routes.ts';

export const handler = httpHandler(
  listSalesRoute,
  perAddress('public-address', ({ deps, query }) => listSalePage(deps, query)),
);
