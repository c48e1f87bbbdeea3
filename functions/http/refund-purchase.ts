/** POST /purchases/{purchaseId}/refund: an operator refunds a purchase, or with an Idempotency-Key a part of it. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { refundOnOrder } from '#purchase/refund.ts';
import { refundPurchaseRoute } from './purchase.routes.ts';

export const handler = operatorHandler(byKey(refundPurchaseRoute), ({ deps, params, idempotencyKey, body }, keep) =>
  refundOnOrder(deps, params.purchaseId, idempotencyKey, body, keep),
);
