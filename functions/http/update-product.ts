/** PATCH /products/{productId}: changes the given fields of a product. */
import { updateProduct } from '#catalog/product.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { updateProductRoute } from './catalog.routes.ts';

export const handler = httpHandler(updateProductRoute, ({ deps, params, body }) =>
  updateProduct(deps, params.productId, body),
);
