/** POST /sales: a new sale of a product. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { createSale } from '#launch/create-sale.ts';
import { createSaleRoute } from './sale.routes.ts';

export const handler = operatorHandler(byKey(createSaleRoute), ({ deps, body }, keep) => createSale(deps, body, keep));
