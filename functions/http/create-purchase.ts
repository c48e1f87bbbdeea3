/** POST /purchases: commits the intent to buy and queues its payment. */
import { keepingRefusals } from '#idempotency/kept-answer.ts';
import { forCustomer } from '#keys/identify.ts';
import { type Call, httpHandler, Reply } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import type { PurchaseRequest } from '#purchase/purchase.shapes.ts';
import { findRequested, requestPurchase } from '#purchase/request.ts';
import { createPurchaseRoute } from './purchase.routes.ts';

type Asked = Call<unknown, unknown, PurchaseRequest>;

const request = keepingRefusals(
  createPurchaseRoute,
  (one: Asked) => requestPurchase(one.deps, one.caller.customerId, one.idempotencyKey, one.body, one.caller.keyId),
  ({ deps, caller, idempotencyKey, body }: Asked) => findRequested(deps, caller.customerId, idempotencyKey, body),
);

export const handler = httpHandler(
  forCustomer(createPurchaseRoute),
  perCustomer('changes-customer', async (call) => {
    const accepted = await request(call);
    return isRefusal(accepted) ? accepted : new Reply(accepted, { location: accepted.statusUrl });
  }),
);
