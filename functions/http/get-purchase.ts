/** GET /purchases/{purchaseId}: the state of a purchase. */
import { forCustomer } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { getPurchase } from '#purchase/read.ts';
import { getPurchaseRoute } from './purchase.routes.ts';

export const handler = httpHandler(
  forCustomer(getPurchaseRoute),
  perCustomer('lookups-customer', ({ deps, caller, params }) => getPurchase(deps, caller, params.purchaseId)),
);
