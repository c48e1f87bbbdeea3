/** GET /products/{productId}: one product. */
import { getProduct } from '#catalog/product.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { getProductRoute } from './catalog.routes.ts';

export const handler = httpHandler(getProductRoute, ({ deps, params }) => getProduct(deps, params.productId));
