/** POST /purchases: commits the intent to buy and queues its payment. */

import { isRefusal } from '../../lib/platform/errors.ts';
import { httpHandler, Reply } from '../../lib/platform/http.ts';
import { requestPurchase } from '../../lib/purchase/accept.ts';
import { purchasePorts } from '../../lib/purchase/ports.ts';
import { createPurchaseRoute } from './purchase.routes.ts';

export const handler = httpHandler(createPurchaseRoute, async ({ deps, caller, idempotencyKey, body }) => {
  const accepted = await requestPurchase(purchasePorts(deps), caller.customerId, idempotencyKey, body);
  return isRefusal(accepted) ? accepted : new Reply(accepted, { location: accepted.statusUrl });
});
