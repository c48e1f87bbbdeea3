/** POST /sales/{saleId}/reschedule. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { rescheduleSale } from '#launch/reschedule.ts';
import { rescheduleSaleRoute } from './sale.routes.ts';

export const handler = operatorHandler(byKey(rescheduleSaleRoute), ({ deps, params, body }, keep) =>
  rescheduleSale(deps, params.saleId, body, keep),
);
