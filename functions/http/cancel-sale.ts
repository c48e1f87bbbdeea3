/** POST /sales/{saleId}/cancel. */
import { idempotentHandler } from '#idempotency/kept-answer.ts';
import { cancelSale } from '#launch/change-sale.ts';
import { cancelSaleRoute } from './sale.routes.ts';

export const handler = idempotentHandler(cancelSaleRoute, ({ deps, params, body }, keep) =>
  cancelSale(deps, params.saleId, body, keep),
);
