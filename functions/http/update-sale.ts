/** PATCH /sales/{saleId}: new terms. */

import { updateSale } from '#launch/change-sale.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { updateSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(updateSaleRoute, ({ deps, params, body }) => updateSale(deps, params.saleId, body));
