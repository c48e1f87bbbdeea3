/** POST /sales: a new sale of a product. */
import { httpHandler } from '../../lib/platform/http.ts';
import { createSale } from '../../lib/sale/sale.ts';
import { createSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(createSaleRoute, ({ deps, body }) => createSale(deps, body));
