/** GET /purchases: the caller's purchases, newest first. */
import { httpHandler } from '#platform/handlers/http.ts';
import { listPurchases } from '#purchase/read.ts';
import { listPurchasesRoute } from './purchase.routes.ts';

export const handler = httpHandler(listPurchasesRoute, ({ deps, caller, query }) =>
  listPurchases(deps, caller.customerId, query),
);
