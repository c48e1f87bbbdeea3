/** POST /webhooks/payments: settles a purchase by what the payment provider tells. */
import { httpHandler } from '#platform/handlers/http.ts';
import { purchasePorts } from '#purchase/ports.ts';
import { receiveWebhook } from '#purchase/webhook.ts';
import { paymentWebhookRoute } from './purchase.routes.ts';

export const handler = httpHandler(paymentWebhookRoute, ({ deps, headers, rawBody }) =>
  receiveWebhook(purchasePorts(deps), { headers, rawBody }),
);
