/** POST /sales: a new sale of a product. */
import { idempotentHandler } from '#idempotency/kept-answer.ts';
import { createSale } from '#launch/create-sale.ts';
import { createSaleRoute } from './sale.routes.ts';

export const handler = idempotentHandler(createSaleRoute, ({ deps, body }, keep) => createSale(deps, body, keep));
