/** POST /sales/{saleId}/stock: adds units to a sale, or takes back available ones. */
import { adjustStock } from '#launch/adjust-stock.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { adjustStockRoute } from './sale.routes.ts';

export const handler = httpHandler(adjustStockRoute, ({ deps, params, body }) =>
  adjustStock(deps, params.saleId, body.units),
);
