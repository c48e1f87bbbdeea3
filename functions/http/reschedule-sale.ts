/** POST /sales/{saleId}/reschedule. */

import { rescheduleSale } from '#launch/reschedule.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { rescheduleSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(rescheduleSaleRoute, ({ deps, params, body }) =>
  rescheduleSale(deps, params.saleId, body),
);
