/** GET /sales: all sales, newest first. */

import { listSales } from '#launch/sale.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { listSalesRoute } from './sale.routes.ts';

export const handler = httpHandler(listSalesRoute, ({ deps, query }) => listSales(deps, query));
