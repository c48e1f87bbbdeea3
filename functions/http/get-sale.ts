/** GET /sales/{saleId}: one sale with live stock. */
import { getSale } from '#launch/read-sale.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { getSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(getSaleRoute, ({ deps, params, query, sourceIp }) =>
  getSale(deps, params.saleId, sourceIp, query.code),
);
