/** GET /products/{productId}: one product. */
import { getProduct } from '#catalog/product.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perAddress } from '#platform/handlers/limits.ts';
import { getProductRoute } from './catalog.routes.ts';

export const handler = httpHandler(
  getProductRoute,
  perAddress('public-address', ({ deps, params }) => getProduct(deps, params.productId)),
);
