/** POST /sales/{saleId}/pause. */
import { keptHandler } from '#answers/once.ts';
import { pauseSale } from '#launch/change-sale.ts';
import { pauseSaleRoute } from './sale.routes.ts';

export const handler = keptHandler(pauseSaleRoute, ({ deps, params }, keep) => pauseSale(deps, params.saleId, keep));
