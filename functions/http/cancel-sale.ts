/** POST /sales/{saleId}/cancel. */

import { cancelSale } from '#launch/change-sale.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { cancelSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(cancelSaleRoute, ({ deps, params, body }) => cancelSale(deps, params.saleId, body));
