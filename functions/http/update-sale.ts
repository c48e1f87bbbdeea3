/** PATCH /sales/{saleId}: new terms. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { updateSale } from '#launch/change-sale.ts';
import { updateSaleRoute } from './sale.routes.ts';

export const handler = operatorHandler(byKey(updateSaleRoute), ({ deps, params, body }, keep) =>
  updateSale(deps, params.saleId, body, keep),
);
