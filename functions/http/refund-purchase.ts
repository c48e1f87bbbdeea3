/** POST /purchases/{purchaseId}/refund: an operator gives a purchase back. */
import { httpHandler } from '../../lib/platform/http.ts';
import { purchasePorts } from '../../lib/purchase/ports.ts';
import { refundPurchase } from '../../lib/purchase/refund.ts';
import { refundPurchaseRoute } from './purchase.routes.ts';

export const handler = httpHandler(refundPurchaseRoute, ({ deps, params }) =>
  refundPurchase(purchasePorts(deps), params.purchaseId),
);
