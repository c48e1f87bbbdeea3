/** POST /sales/{saleId}/cancel. */
import { httpHandler } from '../../lib/platform/http.ts';
import { cancelSale } from '../../lib/sale/sale.ts';
import { cancelSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(cancelSaleRoute, ({ deps, params }) => cancelSale(deps, params.saleId));
