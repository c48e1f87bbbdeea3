/** POST /sales/{saleId}/pause. */
import { idempotentHandler } from '#idempotency/kept-answer.ts';
import { pauseSale } from '#launch/change-sale.ts';
import { pauseSaleRoute } from './sale.routes.ts';

export const handler = idempotentHandler(pauseSaleRoute, ({ deps, params }, keep) =>
  pauseSale(deps, params.saleId, keep),
);
