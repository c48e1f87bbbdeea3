/** POST /purchases/{purchaseId}/refund: an operator refunds a purchase. */
import { httpHandler } from '#platform/handlers/http.ts';
import { refundPurchase } from '#purchase/refund.ts';
import { refundPurchaseRoute } from './purchase.routes.ts';

export const handler = httpHandler(refundPurchaseRoute, ({ deps, params }) => refundPurchase(deps, params.purchaseId));
