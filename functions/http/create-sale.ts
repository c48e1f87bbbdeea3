/** POST /sales: a new sale of a product. */

import { createSale } from '#launch/create-sale.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { createSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(createSaleRoute, ({ deps, body }) => createSale(deps, body));
