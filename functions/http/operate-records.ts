/** Operators' calls that keep the catalog and the roles: one function, since all of them need the same. */
import { severalRoutes } from '#platform/handlers/several.ts';
import * as catalog from './catalog.routes.ts';
import { handler as createProduct } from './create-product.ts';
import * as identity from './identity.routes.ts';
import { handler as importProducts } from './import-products.ts';
import { handler as listOperators } from './list-operators.ts';
import { handler as setRole } from './set-role.ts';
import { handler as updateProduct } from './update-product.ts';

export const handler = severalRoutes([
  [catalog.createProductRoute, createProduct],
  [catalog.updateProductRoute, updateProduct],
  [catalog.importProductsRoute, importProducts],
  [identity.listOperatorsRoute, listOperators],
  [identity.setRoleRoute, setRole],
]);
