/** POST /sales/{saleId}/stock: adds units to a sale, or takes back available ones. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { adjustStock } from '#launch/adjust-stock.ts';
import { adjustStockRoute } from './sale.routes.ts';

export const handler = operatorHandler(byKey(adjustStockRoute), ({ deps, params, body }, keep) =>
  adjustStock(deps, params.saleId, body.units, keep),
);
