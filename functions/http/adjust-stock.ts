/** POST /sales/{saleId}/stock: units added, or taken back. */

import { viewSale } from '#launch/sale.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { inventoryPorts } from '#reservation/release.ports.ts';
import { adjustStock } from '#reservation/release.ts';
import { adjustStockRoute } from './sale.routes.ts';

export const handler = httpHandler(adjustStockRoute, async ({ deps, params, body }) => {
  const adjusted = await adjustStock(inventoryPorts(deps), params.saleId, body.units);
  return isRefusal(adjusted) ? adjusted : viewSale(deps, params.saleId);
});
