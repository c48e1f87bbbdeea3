/** POST /sales/{saleId}/cancel. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { cancelSale } from '#launch/change-sale.ts';
import { cancelSaleRoute } from './sale.routes.ts';

export const handler = operatorHandler(cancelSaleRoute, ({ deps, params, body }, keep) =>
  cancelSale(deps, params.saleId, body, keep),
);
