/** GET /ops/sales/{saleId}/purchases: what operators find among them. */
import { byKey } from '#keys/identify.ts';
import { lookUpPurchases } from '#operations/look-up.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { lookUpPurchasesRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(lookUpPurchasesRoute), ({ deps, params, query }) =>
  lookUpPurchases(deps, params.saleId, query),
);
