/** POST /webhooks/payments: settles a purchase by the payment provider's webhook. */
import { httpHandler } from '#platform/handlers/http.ts';
import { addressOf } from '#platform/handlers/limits.ts';
import { receiveWebhook } from '#purchase/webhook.ts';
import { paymentWebhookRoute } from './purchase.routes.ts';

export const handler = httpHandler(paymentWebhookRoute, (call) =>
  receiveWebhook(call.deps, { headers: call.headers, rawBody: call.rawBody }, addressOf(call)),
);
