/** POST /sales/{saleId}/resume. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { resumeSale } from '#launch/change-sale.ts';
import { resumeSaleRoute } from './sale.routes.ts';

export const handler = operatorHandler(byKey(resumeSaleRoute), ({ deps, params, query }, keep) =>
  resumeSale(deps, params.saleId, { keepTimes: query.keepTimes === 'true', confirmation: query.confirmation }, keep),
);
