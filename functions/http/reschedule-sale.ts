/** POST /sales/{saleId}/reschedule. */
import { idempotentHandler } from '#idempotency/kept-answer.ts';
import { rescheduleSale } from '#launch/reschedule.ts';
import { rescheduleSaleRoute } from './sale.routes.ts';

export const handler = idempotentHandler(rescheduleSaleRoute, ({ deps, params, body }, keep) =>
  rescheduleSale(deps, params.saleId, body, keep),
);
