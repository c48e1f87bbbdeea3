/** POST /sales/{saleId}/resume. */
import { keptHandler } from '#answers/once.ts';
import { resumeSale } from '#launch/change-sale.ts';
import { resumeSaleRoute } from './sale.routes.ts';

export const handler = keptHandler(resumeSaleRoute, ({ deps, params, query }, keep) =>
  resumeSale(deps, params.saleId, { keepTimes: query.keepTimes === 'true', confirmation: query.confirmation }, keep),
);
