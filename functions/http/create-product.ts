/** POST /products: adds a product. */
import { createProduct } from '#catalog/product.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { createProductRoute } from './catalog.routes.ts';

export const handler = httpHandler(createProductRoute, ({ deps, body }) => createProduct(deps, body));
