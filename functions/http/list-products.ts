/** GET /products: a page of products. */
import { listProducts } from '#catalog/product.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perAddress } from '#platform/handlers/limits.ts';
import { listProductsRoute } from './catalog.routes.ts';

export const handler = httpHandler(
  listProductsRoute,
  perAddress('public-address', ({ deps, query }) => listProducts(deps, query)),
);
