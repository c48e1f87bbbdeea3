/** The routes of purchases, and of the payment provider's webhook. */
import * as z from 'zod';
import { defineRoute } from '#platform/handlers/route.ts';
import {
  DecideDispute,
  DisputePage,
  DisputeQuery,
  FailedRefundPage,
  FailedRefundQuery,
  PaymentWebhook,
  PurchaseAccepted,
  PurchasePage,
  PurchaseParams,
  PurchaseQuery,
  PurchaseRequest,
  PurchaseView,
  RefundRequest,
} from '#purchase/purchase.shapes.ts';

export const createPurchaseRoute = defineRoute({
  method: 'POST',
  path: '/purchases',
  summary: 'Buy reservations whose units are set aside for you, or some of the units, many with one payment',
  description:
    'A 202 means that the purchase is written down; the payment follows. Its state becomes `captured`, `declined`, or `requires_action` with ' +
    'an address at which the customer confirms it. Name either `reservationIds` or `items`.',
  tag: 'Purchases',
  auth: 'customer',
  scope: 'customers:act',
  idempotent: true,
  keysAre:
    'A purchase is made once under its Idempotency-Key, for as long as it exists: the same request is given the first answer again, ' +
    'with `Idempotent-Replayed: true`, and another one is refused as `idempotency_key_reused`. A refusal for how things are (404, ' +
    '409) is kept for at least 24 hours.',
  body: PurchaseRequest,
  example: { reservationIds: ['0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b'], paymentToken: 'tok_approve' },
  status: 202,
  reply: PurchaseAccepted,
  refusals: [
    'unprocessable',
    'not_found',
    'keys_only',
    'idempotency_in_progress',
    'purchase_in_progress',
    'already_resolved',
    'cannot_grow',
    'illegal_state',
    'window_not_open',
    'window_closed',
    'deadline_passed',
    'sale_paused',
    'sale_cancelled',
    'mixed_currencies',
    'mixed_providers',
  ],
});

export const listPurchasesRoute = defineRoute({
  method: 'GET',
  path: '/purchases',
  summary: 'Your purchases, newest first',
  tag: 'Purchases',
  auth: 'customer',
  scope: 'customers:act',
  query: PurchaseQuery,
  status: 200,
  reply: PurchasePage,
  refusals: ['unprocessable'],
});

export const getPurchaseRoute = defineRoute({
  method: 'GET',
  path: '/purchases/{purchaseId}',
  summary: 'How far a purchase has come',
  tag: 'Purchases',
  auth: 'customer',
  scope: 'customers:act',
  params: PurchaseParams,
  status: 200,
  reply: PurchaseView,
  refusals: ['not_found'],
});

export const giveUpPurchaseRoute = defineRoute({
  method: 'DELETE',
  path: '/purchases/{purchaseId}',
  summary: 'Give up a purchase whose payment waits for you; its units are free once the provider has stopped it',
  tag: 'Purchases',
  auth: 'customer',
  scope: 'customers:act',
  params: PurchaseParams,
  status: 202,
  reply: PurchaseAccepted,
  refusals: ['not_found', 'purchase_in_progress', 'already_resolved'],
});

export const refundPurchaseRoute = defineRoute({
  method: 'POST',
  path: '/purchases/{purchaseId}/refund',
  summary: 'Refund a purchase; its units return to the sale once the provider has refunded it',
  description:
    'Without a body everything is given back. Otherwise name `items`, whose price is given back, or `amountMinor`; and with `cancel` which ' +
    'units return to the sale; such a part needs an Idempotency-Key. `retryFailed` and `waiveFailed` stand by themselves.',
  tag: 'Purchases',
  auth: 'operator',
  scope: 'purchases:write',
  params: PurchaseParams,
  idempotent: 'optional',
  body: RefundRequest,
  bodyOptional: true,
  example: { amountMinor: 500 },
  status: 202,
  reply: PurchaseAccepted,
  refusals: ['unprocessable', 'not_found', 'illegal_state'],
});

export const listFailedRefundsRoute = defineRoute({
  method: 'GET',
  path: '/ops/failed-refunds',
  summary: 'Refunds that the provider refused and that wait for an operator, of all sales or of one',
  tag: 'Purchases',
  auth: 'viewer',
  scope: 'purchases:read',
  query: FailedRefundQuery,
  status: 200,
  reply: FailedRefundPage,
  refusals: ['unprocessable'],
});

export const listDisputesRoute = defineRoute({
  method: 'GET',
  path: '/ops/disputes',
  summary:
    'What the provider said and an operator must decide: captures other than the order, refunds that contradict it',
  tag: 'Purchases',
  auth: 'viewer',
  scope: 'purchases:read',
  query: DisputeQuery,
  status: 200,
  reply: DisputePage,
  refusals: ['unprocessable'],
});

export const decideDisputeRoute = defineRoute({
  method: 'POST',
  path: '/purchases/{purchaseId}/dispute',
  summary: 'Decide about a capture that is not what was ordered, or a refund that contradicts its purchase',
  tag: 'Purchases',
  auth: 'operator',
  scope: 'purchases:write',
  params: PurchaseParams,
  idempotent: 'optional',
  body: DecideDispute,
  example: { decision: 'refund' },
  status: 202,
  reply: PurchaseAccepted,
  refusals: ['unprocessable', 'not_found', 'illegal_state'],
});

export const paymentWebhookRoute = defineRoute({
  method: 'POST',
  path: '/webhooks/payments',
  summary: 'The webhook of the payment providers, signed as Standard Webhooks',
  description:
    'The signature is over the exact bytes of the body. A genuine message of an unknown kind is acknowledged and ignored. ' +
    'With the header `Stripe-Signature` it is an event of Stripe, in the form and with the signature that Stripe documents. ' +
    'One of Toss Payments has no signature: of it only the order is read, and Toss is asked about that.',
  tag: 'Webhooks',
  auth: 'none',
  raw: true,
  sends: PaymentWebhook,
  repeated: 'A message that has been taken before changes nothing.',
  status: 200,
  reply: z.object({ received: z.literal(true) }).meta({ id: 'WebhookReceived' }),
  refusals: ['invalid_signature', 'too_many_requests', 'status_unknown'],
});
