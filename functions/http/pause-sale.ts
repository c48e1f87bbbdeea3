/** POST /sales/{saleId}/pause. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { pauseSale } from '#launch/change-sale.ts';
import { pauseSaleRoute } from './sale.routes.ts';

export const handler = operatorHandler(byKey(pauseSaleRoute), ({ deps, params }, keep) =>
  pauseSale(deps, params.saleId, keep),
);
