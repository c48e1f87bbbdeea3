/** POST /sales: a new sale of a product. */
import { keptHandler } from '#answers/once.ts';
import { createSale } from '#launch/create-sale.ts';
import { createSaleRoute } from './sale.routes.ts';

export const handler = keptHandler(createSaleRoute, ({ deps, body }, keep) => createSale(deps, body, keep));
