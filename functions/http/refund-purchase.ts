/** POST /purchases/{purchaseId}/refund: an operator refunds a purchase, or with an Idempotency-Key a part of it. */
import { idempotentHandler } from '#idempotency/kept-answer.ts';
import { refundOnOrder } from '#purchase/refund.ts';
import { refundPurchaseRoute } from './purchase.routes.ts';

export const handler = idempotentHandler(refundPurchaseRoute, ({ deps, params, idempotencyKey, body }, keep) =>
  refundOnOrder(deps, params.purchaseId, idempotencyKey, body, keep),
);
