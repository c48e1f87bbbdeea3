/** PATCH /products/{productId}: changes the given fields of a product. */
import { updateProduct } from '#catalog/product.ts';
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { updateProductRoute } from './catalog.routes.ts';

export const handler = operatorHandler(updateProductRoute, ({ deps, params, body }, keep) =>
  updateProduct(deps, params.productId, body, keep),
);
