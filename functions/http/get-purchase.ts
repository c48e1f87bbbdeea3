/** GET /purchases/{purchaseId}: how far a purchase has come. */
import { httpHandler } from '../../lib/platform/http.ts';
import { getPurchase } from '../../lib/purchase/read.ts';
import { getPurchaseRoute } from './purchase.routes.ts';

export const handler = httpHandler(getPurchaseRoute, ({ deps, caller, params }) =>
  getPurchase(deps.db, caller, params.purchaseId),
);
