/** POST /sales/{saleId}/pause. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { pauseSale } from '#launch/change-sale.ts';
import { pauseSaleRoute } from './sale.routes.ts';

export const handler = operatorHandler(pauseSaleRoute, ({ deps, params }, keep) =>
  pauseSale(deps, params.saleId, keep),
);
