/** POST /sales/{saleId}/reschedule. */
import { keptHandler } from '#answers/once.ts';
import { rescheduleSale } from '#launch/reschedule.ts';
import { rescheduleSaleRoute } from './sale.routes.ts';

export const handler = keptHandler(rescheduleSaleRoute, ({ deps, params, body }, keep) =>
  rescheduleSale(deps, params.saleId, body, keep),
);
