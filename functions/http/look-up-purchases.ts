/** GET /ops/sales/{saleId}/purchases: what operators find among them. */
import { lookUpPurchases } from '#operations/look-up.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { lookUpPurchasesRoute } from './operations.routes.ts';

export const handler = httpHandler(lookUpPurchasesRoute, ({ deps, params, query }) =>
  lookUpPurchases(deps, params.saleId, query),
);
