/** POST /sales/{saleId}/publish. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { publishSale } from '#launch/change-sale.ts';
import { publishSaleRoute } from './sale.routes.ts';

export const handler = operatorHandler(byKey(publishSaleRoute), ({ deps, params }, keep) =>
  publishSale(deps, params.saleId, keep),
);
