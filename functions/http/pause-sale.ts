/** POST /sales/{saleId}/pause. */

import { pauseSale } from '#launch/change-sale.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { pauseSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(pauseSaleRoute, ({ deps, params }) => pauseSale(deps, params.saleId));
