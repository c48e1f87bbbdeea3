/** GET /products: a page of products. */
import { listProducts } from '../../lib/catalog/product.ts';
import { httpHandler } from '../../lib/platform/http.ts';
import { listProductsRoute } from './catalog.routes.ts';

export const handler = httpHandler(listProductsRoute, ({ deps, query }) => listProducts(deps.db, query));
