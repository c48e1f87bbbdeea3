/** POST /sales/{saleId}/resume. */
import { idempotentHandler } from '#idempotency/kept-answer.ts';
import { resumeSale } from '#launch/change-sale.ts';
import { resumeSaleRoute } from './sale.routes.ts';

export const handler = idempotentHandler(resumeSaleRoute, ({ deps, params, query }, keep) =>
  resumeSale(deps, params.saleId, { keepTimes: query.keepTimes === 'true', confirmation: query.confirmation }, keep),
);
