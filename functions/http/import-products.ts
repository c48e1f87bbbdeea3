/** POST /products/import: creates and updates products from a CSV file. */
import { keptHandler } from '#answers/once.ts';
import { importProducts } from '#catalog/import.ts';
import { importProductsRoute } from './catalog.routes.ts';

export const handler = keptHandler(importProductsRoute, ({ deps, body }, keep) => importProducts(deps, body, keep));
