/** PATCH /sales/{saleId}: new terms. */
import { keptHandler } from '#answers/once.ts';
import { updateSale } from '#launch/change-sale.ts';
import { updateSaleRoute } from './sale.routes.ts';

export const handler = keptHandler(updateSaleRoute, ({ deps, params, body }, keep) =>
  updateSale(deps, params.saleId, body, keep),
);
