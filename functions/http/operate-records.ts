/** Operators' calls that keep the catalog: one function, since all of them need the same. */
import { severalRoutes } from '#platform/handlers/several.ts';
import * as catalog from './catalog.routes.ts';
import { handler as createProduct } from './create-product.ts';
import { handler as importProducts } from './import-products.ts';
import { handler as updateProduct } from './update-product.ts';

export const handler = severalRoutes([
  [catalog.createProductRoute, createProduct],
  [catalog.updateProductRoute, updateProduct],
  [catalog.importProductsRoute, importProducts],
]);
