/** POST /sales/{saleId}/stock: units added, or taken back. */
import { inventoryPorts } from '../../lib/inventory/ports.ts';
import { adjustStock } from '../../lib/inventory/release.ts';
import { isRefusal } from '../../lib/platform/errors.ts';
import { httpHandler } from '../../lib/platform/http.ts';
import { viewSale } from '../../lib/sale/sale.ts';
import { adjustStockRoute } from './sale.routes.ts';

export const handler = httpHandler(adjustStockRoute, async ({ deps, params, body }) => {
  const adjusted = await adjustStock(inventoryPorts(deps), params.saleId, body.units);
  return isRefusal(adjusted) ? adjusted : viewSale(deps, params.saleId);
});
