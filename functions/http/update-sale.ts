/** PATCH /sales/{saleId}: new terms. */
import { httpHandler } from '../../lib/platform/http.ts';
import { updateSale } from '../../lib/sale/sale.ts';
import { updateSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(updateSaleRoute, ({ deps, params, body }) => updateSale(deps, params.saleId, body));
