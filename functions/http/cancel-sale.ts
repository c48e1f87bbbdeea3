/** POST /sales/{saleId}/cancel. */
import { keptHandler } from '#answers/once.ts';
import { cancelSale } from '#launch/change-sale.ts';
import { cancelSaleRoute } from './sale.routes.ts';

export const handler = keptHandler(cancelSaleRoute, ({ deps, params, body }, keep) =>
  cancelSale(deps, params.saleId, body, keep),
);
