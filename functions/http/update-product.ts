/** PATCH /products/{productId}: changes the given fields of a product. */
import { updateProduct } from '#catalog/product.ts';
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { updateProductRoute } from './catalog.routes.ts';

export const handler = operatorHandler(byKey(updateProductRoute), ({ deps, params, body }, keep) =>
  updateProduct(deps, params.productId, body, keep),
);
