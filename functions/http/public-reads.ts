/** The public lists that MySQL answers: one function, as all of them need the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import * as catalog from './catalog.routes.ts';
import { handler as getProduct } from './get-product.ts';
import { handler as listProducts } from './list-products.ts';
import { handler as listSales } from './list-sales.ts';
import * as sale from './sale.routes.ts';

export const handler = severalRoutes([
  [catalog.listProductsRoute, listProducts],
  [catalog.getProductRoute, getProduct],
  [sale.listSalesRoute, listSales],
]);
