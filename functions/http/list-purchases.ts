/** GET /purchases: the caller's purchases, newest first. */
import { forCustomer } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { listPurchases } from '#purchase/read.ts';
import { listPurchasesRoute } from './purchase.routes.ts';

export const handler = httpHandler(
  forCustomer(listPurchasesRoute),
  perCustomer('lookups-customer', ({ deps, caller, query }) => listPurchases(deps, caller.customerId, query)),
);
