/** POST /products: adds a product. */

import { createProduct } from '#catalog/product.ts';
import { idempotentHandler } from '#idempotency/kept-answer.ts';
import { createProductRoute } from './catalog.routes.ts';

export const handler = idempotentHandler(createProductRoute, ({ deps, body }, keep) => createProduct(deps, body, keep));
