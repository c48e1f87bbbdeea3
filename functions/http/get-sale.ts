/** GET /sales/{saleId}: one sale with live stock. */
import { httpHandler } from '../../lib/platform/http.ts';
import { getSale, saleAtHand } from '../../lib/sale/sale.ts';
import { getSaleRoute } from './sale.routes.ts';

export const handler = httpHandler(
  getSaleRoute,
  ({ deps, params }) => getSale(deps, params.saleId),
  (deps, params) => saleAtHand(deps, params.saleId ?? ''),
);
