/** POST /sales/{saleId}/resume. */

import { resumeSale } from '#launch/change-sale.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { resumeSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(resumeSaleRoute, ({ deps, params, query }) =>
  resumeSale(deps, params.saleId, { keepTimes: query.keepTimes === 'true' }),
);
