/** POST /sales/{saleId}/cancel. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { cancelSale } from '#launch/change-sale.ts';
import { cancelSaleRoute } from './sale.routes.ts';

export const handler = operatorHandler(byKey(cancelSaleRoute), ({ deps, params, body }, keep) =>
  cancelSale(deps, params.saleId, body, keep),
);
