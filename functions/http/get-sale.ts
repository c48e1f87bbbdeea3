/** GET /sales/{saleId}: one sale with live stock. */
import { getSale } from '#launch/read-sale.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { addressOf } from '#platform/handlers/limits.ts';
import { getSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(getSaleRoute, (call) =>
  getSale(call.deps, call.params.saleId, addressOf(call), call.query.code),
);
