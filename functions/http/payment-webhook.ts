/** POST /webhooks/payments: settles a purchase by the payment provider's webhook. */
import { httpHandler } from '#platform/handlers/http.ts';
import { receiveWebhook } from '#purchase/webhook.ts';
import { paymentWebhookRoute } from './purchase.routes.ts';

export const handler = httpHandler(paymentWebhookRoute, ({ deps, headers, rawBody }) =>
  receiveWebhook(deps, { headers, rawBody }),
);
