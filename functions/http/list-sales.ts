/** GET /sales: all sales, newest first. */
import { httpHandler } from '../../lib/platform/http.ts';
import { listSales } from '../../lib/sale/sale.ts';
import { listSalesRoute } from './sale.routes.ts';

export const handler = httpHandler(listSalesRoute, ({ deps, query }) => listSales(deps, query));
