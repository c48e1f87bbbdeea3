/** POST /products: adds a product. */
import { keptHandler } from '#answers/once.ts';
import { createProduct } from '#catalog/product.ts';
import { createProductRoute } from './catalog.routes.ts';

export const handler = keptHandler(createProductRoute, ({ deps, body }, keep) => createProduct(deps, body, keep));
