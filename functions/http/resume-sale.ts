/** POST /sales/{saleId}/resume. */
import { httpHandler } from '../../lib/platform/http.ts';
import { resumeSale } from '../../lib/sale/sale.ts';
import { resumeSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(resumeSaleRoute, ({ deps, params }) => resumeSale(deps, params.saleId));
