/** POST /products/import: creates and updates products from a CSV file. */

import { importProducts } from '#catalog/import.ts';
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { decodeCp949 } from '#platform/handlers/cp949.ts';
import { importProductsRoute } from './catalog.routes.ts';

export const handler = operatorHandler(byKey({ ...importProductsRoute, decodeCp949 }), ({ deps, body }, keep) =>
  importProducts(deps, body, keep),
);
