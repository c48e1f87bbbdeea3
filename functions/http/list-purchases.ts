/** GET /purchases: the caller's purchases, newest first. */
import { httpHandler } from '../../lib/platform/http.ts';
import { listPurchases } from '../../lib/purchase/read.ts';
import { listPurchasesRoute } from './purchase.routes.ts';

export const handler = httpHandler(listPurchasesRoute, ({ deps, caller, query }) =>
  listPurchases(deps.db, caller.customerId, query),
);
