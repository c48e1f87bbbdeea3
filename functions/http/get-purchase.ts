/** GET /purchases/{purchaseId}: how far a purchase has come. */
import { httpHandler } from '#platform/handlers/http.ts';
import { getPurchase } from '#purchase/read.ts';
import { getPurchaseRoute } from './purchase.routes.ts';

export const handler = httpHandler(getPurchaseRoute, ({ deps, caller, params }) =>
  getPurchase(deps, caller, params.purchaseId),
);
