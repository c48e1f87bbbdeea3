/** POST /purchases/{purchaseId}/dispute: an operator decides about a capture or a refund that contradicts the order. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { decideDispute } from '#purchase/dispute.ts';
import { decideDisputeRoute } from './purchase.routes.ts';

export const handler = operatorHandler(byKey(decideDisputeRoute), ({ deps, params, body }, keep) =>
  decideDispute(deps, params.purchaseId, body, keep),
);
