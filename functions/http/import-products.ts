/** POST /products/import: creates and updates products from a CSV file. */
import { importProducts } from '#catalog/import.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { importProductsRoute } from './catalog.routes.ts';

export const handler = httpHandler(importProductsRoute, ({ deps, body }) => importProducts(deps, body));
