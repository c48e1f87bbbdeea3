/** POST /purchases: commits the intent to buy and queues its payment. */
import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { requestPurchase } from '#purchase/request.ts';
import { createPurchaseRoute } from './purchase.routes.ts';

export const handler = httpHandler(
  createPurchaseRoute,
  perCustomer('changes-customer', async ({ deps, caller, idempotencyKey, body }) => {
    const accepted = await requestPurchase(deps, caller.customerId, idempotencyKey, body);
    return isRefusal(accepted) ? accepted : new Reply(accepted, { location: accepted.statusUrl });
  }),
);
