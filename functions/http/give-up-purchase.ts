/** DELETE /purchases/{purchaseId}: gives up a purchase whose payment waits for its customer. */
import { forCustomer } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { giveUpPurchase } from '#purchase/give-up.ts';
import { giveUpPurchaseRoute } from './purchase.routes.ts';

export const handler = httpHandler(
  forCustomer(giveUpPurchaseRoute),
  perCustomer('changes-customer', ({ deps, caller, params }) =>
    giveUpPurchase(deps, caller.customerId, params.purchaseId),
  ),
);
