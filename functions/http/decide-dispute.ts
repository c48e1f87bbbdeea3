/** POST /purchases/{purchaseId}/dispute: an operator decides about a capture or a refund that contradicts the order. */
import { httpHandler } from '#platform/handlers/http.ts';
import { decideDispute } from '#purchase/dispute.ts';
import { decideDisputeRoute } from './purchase.routes.ts';

export const handler = httpHandler(decideDisputeRoute, ({ deps, params, body }) =>
  decideDispute(deps, params.purchaseId, body),
);
