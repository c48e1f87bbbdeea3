/** POST /purchases/{purchaseId}/refund: an operator refunds a purchase, or with an Idempotency-Key a part of it. */
import { httpHandler } from '#platform/handlers/http.ts';
import { refundOnOrder } from '#purchase/refund.ts';
import { refundPurchaseRoute } from './purchase.routes.ts';

export const handler = httpHandler(refundPurchaseRoute, ({ deps, params, idempotencyKey, body }) =>
  refundOnOrder(deps, params.purchaseId, idempotencyKey, body),
);
