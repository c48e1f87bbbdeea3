/** POST /sales/{saleId}/pause. */
import { httpHandler } from '../../lib/platform/http.ts';
import { pauseSale } from '../../lib/sale/sale.ts';
import { pauseSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(pauseSaleRoute, ({ deps, params }) => pauseSale(deps, params.saleId));
