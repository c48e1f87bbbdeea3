/** POST /products: adds a product. */

import { createProduct } from '#catalog/product.ts';
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { createProductRoute } from './catalog.routes.ts';

export const handler = operatorHandler(byKey(createProductRoute), ({ deps, body }, keep) =>
  createProduct(deps, body, keep),
);
