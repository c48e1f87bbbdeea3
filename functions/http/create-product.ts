/** POST /products: adds a product. */

import { createProduct } from '#catalog/product.ts';
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { createProductRoute } from './catalog.routes.ts';

export const handler = operatorHandler(createProductRoute, ({ deps, body }, keep) => createProduct(deps, body, keep));
