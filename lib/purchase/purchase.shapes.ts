/**
 * The shapes of a purchase: the request, the command in the queue, the client's view, and the provider's webhook.
 */

import * as z from 'zod';
import { labelFields } from '#labels/label.shapes.ts';
import { PageQuery, pageOf } from '#platform/handlers/pagination.ts';
import type { PurchaseId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { Amount, characters, distinct, idOf, line, Time } from '#platform/kernel/shapes.ts';
import { maxQuantity } from '#reservation/reservation.shapes.ts';
import { purchaseStates, refundStates } from '#state/purchase-state.ts';

/** The most reservations that one payment can cover. */
export const maxReservationsPerPurchase = 50;

/** A bank account: one to transfer to, or one for money that goes back. */
export const BankAccount = z
  .strictObject({
    bankCode: z
      .string()
      .regex(/^[0-9A-Za-z]{1,10}$/, 'must be the code of a bank')
      .describe('As the payment provider has it'),
    accountNumber: z.string().regex(/^[0-9A-Za-z]{1,20}$/, 'must be letters and digits'),
    holderName: line(1, 60),
  })
  .meta({ id: 'BankAccount' });
export type BankAccount = z.infer<typeof BankAccount>;

const namedTwice = 'must not name a reservation twice';

/** What is bought of one reservation: all of its units, or fewer. */
export const OrderItem = z
  .strictObject({
    reservationId: idOf<ReservationId>(),
    units: z.int().min(1).max(maxQuantity).optional().describe('All that are set aside, unless it says fewer'),
    rest: z
      .enum(['keep', 'give_back'])
      .default('keep')
      .describe('Whether the other units stay set aside for you, as a reservation of their own, or go to the waitlist'),
  })
  .meta({ id: 'OrderItem' });
export type OrderItem = z.output<typeof OrderItem>;

/** What a customer buys, and with what: whole reservations by their ids, or items that may name fewer units. */
export const PurchaseRequest = z
  .strictObject({
    reservationIds: distinct(
      z.array(idOf<ReservationId>()).min(1).max(maxReservationsPerPurchase),
      namedTwice,
    ).optional(),
    items: z
      .array(OrderItem)
      .min(1)
      .max(maxReservationsPerPurchase)
      .refine((items) => new Set(items.map((item) => item.reservationId)).size === items.length, namedTwice)
      .optional(),
    /** The provider's token for the customer's means of payment. */
    paymentToken: z.string().regex(/^[\x21-\x7e]{1,200}$/, 'must be 1 to 200 printable ASCII characters'),
    ...labelFields,
  })
  .refine(({ reservationIds, items }) => (reservationIds === undefined) !== (items === undefined), {
    message: 'name either reservationIds or items',
  })
  .meta({ id: 'PurchaseRequest' });
export type PurchaseRequest = z.output<typeof PurchaseRequest>;

/** The answer to an accepted request. */
export const PurchaseAccepted = z
  .object({
    purchaseId: idOf<PurchaseId>(),
    state: z.enum(purchaseStates),
    amount: Amount,
    statusUrl: z.string(),
  })
  .meta({ id: 'PurchaseAccepted' });
export type PurchaseAccepted = z.infer<typeof PurchaseAccepted>;

/** Money that goes or went back, or units that return without any. */
const RefundView = z
  .object({
    amount: Amount.describe('Zero if only units return'),
    state: z.enum(refundStates),
    reason: z.string().describe('Why it is given back'),
    failure: z.string().nullable().describe('Why the provider refused it; null unless it is failed'),
    units: z
      .array(
        z.object({
          reservationId: idOf<ReservationId>(),
          units: z.int().nullable().describe('Null: all that it still has'),
        }),
      )
      .describe('What returns to the sale with it'),
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'Refund' });
export type RefundView = z.infer<typeof RefundView>;

/** A refund that the provider refused, as an operator sees it. */
const FailedRefund = RefundView.extend({ purchaseId: idOf<PurchaseId>() }).meta({ id: 'FailedRefund' });
export type FailedRefund = z.infer<typeof FailedRefund>;

/** A page of refunds that the provider refused, and how to ask for one. */
export const FailedRefundPage = pageOf(FailedRefund);
export const FailedRefundQuery = PageQuery.extend({
  saleId: idOf<SaleId>().optional().describe('Those of purchases in this sale alone'),
});
export type FailedRefundQuery = z.output<typeof FailedRefundQuery>;

/** A purchase as its owner sees it. */
export const PurchaseView = z
  .object({
    purchaseId: idOf<PurchaseId>(),
    state: z.enum(purchaseStates),
    amount: Amount.describe('What was captured; until then, what was ordered'),
    items: z.array(
      z.object({
        reservationId: idOf<ReservationId>(),
        saleId: idOf<SaleId>(),
        units: z.int(),
        /** Of one unit. */
        price: Amount,
      }),
    ),
    /** Why it was declined or goes back, why a refund was refused, or why it is not known yet; null otherwise. */
    reason: z.string().nullable(),
    /** In the order in which they were asked for. */
    refunds: z.array(RefundView),
    /** The customer's action, if it is `requires_action`; null otherwise, and once its time is over. */
    action: z
      .object({
        url: z.url().describe('Where to confirm the payment'),
        deadline: Time,
        transferTo: z
          .object({ bankCode: z.string(), accountNumber: z.string(), holderName: z.string() })
          .nullable()
          .describe('The account to which the amount is to be transferred; null if the action is another one'),
      })
      .nullable(),
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'Purchase' });
export type PurchaseView = z.infer<typeof PurchaseView>;

/** A page of the caller's purchases, and how to ask for one. */
export const PurchasePage = pageOf(PurchaseView);
export const PurchaseQuery = PageQuery;

/** The purchase that a path names. */
export const PurchaseParams = z.strictObject({ purchaseId: idOf<PurchaseId>() });

/** The largest amount of one refund; what was captured bounds it further. */
const maxRefundMinor = Number.MAX_SAFE_INTEGER;

function idOfEntry(entry: ReservationId | { reservationId: ReservationId }): ReservationId {
  return typeof entry === 'string' ? entry : entry.reservationId;
}

/**
 * What an operator refunds of a purchase: everything, with its units and with what the provider has refused before; the price
 * of some units of some reservations; or an amount. What was refused can be tried again, or waived, by itself. Which units return is decided separately: with the money, or without any.
 */
export const RefundRequest = z
  .strictObject({
    items: z
      .array(z.strictObject({ reservationId: idOf<ReservationId>(), units: z.int().min(1) }))
      .min(1)
      .max(maxReservationsPerPurchase)
      .refine((items) => new Set(items.map((item) => item.reservationId)).size === items.length, namedTwice)
      .optional(),
    amountMinor: z.int().min(1).max(maxRefundMinor).optional(),
    /** What returns to the sale once the money has been given back: all units of a reservation, or so many of them. */
    cancel: z
      .array(
        z
          .union([
            idOf<ReservationId>(),
            z.strictObject({ reservationId: idOf<ReservationId>(), units: z.int().min(1).max(maxQuantity) }),
          ])
          .describe('A reservation with all of its units, by its id, or so many `units` of it'),
      )
      .max(maxReservationsPerPurchase)
      .refine((entries) => new Set(entries.map(idOfEntry)).size === entries.length, namedTwice)
      .optional(),
    /**
     * Where the money goes, if the provider needs to be told, as Toss Payments does for virtual accounts. It is kept until the
     * provider has answered.
     */
    account: BankAccount.optional(),
    retryFailed: z
      .literal(true)
      .optional()
      .describe('Ask again for what the provider has refused, and for nothing else'),
    waiveFailed: z
      .literal(true)
      .optional()
      .describe(
        'Close what the provider has refused without moving money: it was given back in another way, or is not given back. The units that were to return with it return',
      ),
  })
  .refine(({ items, amountMinor }) => items === undefined || amountMinor === undefined, {
    message: 'name either items or an amount',
  })
  .refine(
    ({ retryFailed, waiveFailed, account: _, ...part }) =>
      !(retryFailed || waiveFailed) ||
      (retryFailed !== waiveFailed && Object.values(part).every((value) => value === undefined)),
    { message: 'what was refused is asked for again, or waived, by itself', path: ['retryFailed'] },
  )
  .refine(({ waiveFailed, account }) => !(waiveFailed && account), {
    message: 'what is waived goes to no account',
    path: ['account'],
  })
  .refine(
    ({ items, amountMinor, cancel }) => cancel?.length !== 0 || items !== undefined || amountMinor !== undefined,
    {
      message: 'what is to be refunded or returned is missing',
      path: ['cancel'],
    },
  )
  .meta({ id: 'RefundRequest' });
export type RefundRequest = z.output<typeof RefundRequest>;

/**
 * What an operator decides about what the provider said. A capture that is not what was ordered is accepted as the purchase, or
 * refunded. A refund that contradicts its purchase, which `refund` names, is accepted as made, or rejected.
 */
export const DecideDispute = z
  .strictObject({
    decision: z.enum(['accept', 'refund', 'reject']),
    refund: characters(1, 64).optional().describe('The disputed refund; without it, the capture is decided'),
    amountMinor: z
      .int()
      .min(1)
      .max(maxRefundMinor)
      .optional()
      .describe(
        'How much of what was captured an accepted refund gave back, unless the provider said it in this currency',
      ),
  })
  .refine(({ decision, refund }) => decision !== (refund === undefined ? 'reject' : 'refund'), {
    message: 'a capture is accepted or refunded, a refund is accepted or rejected',
    path: ['decision'],
  })
  .refine(({ decision, refund, amountMinor }) => amountMinor === undefined || (refund && decision === 'accept'), {
    message: 'only an accepted refund has an amount',
    path: ['amountMinor'],
  })
  .meta({ id: 'DisputeDecision' });
export type DecideDispute = z.output<typeof DecideDispute>;

/** A dispute that waits for an operator. */
const DisputeView = z
  .object({
    purchaseId: idOf<PurchaseId>(),
    refund: z
      .string()
      .nullable()
      .describe('The disputed refund or second charge, for the decision; null if the capture is disputed'),
    reason: z.string().describe('How it contradicts the purchase'),
    told: z
      .object({
        chargeId: z.string(),
        amountMinor: z.int().nullable().describe('Null: all that was captured'),
        currency: z.string().nullable(),
        reference: z.string().nullable(),
      })
      .describe('What the provider said'),
    ordered: Amount.describe('What the purchase ordered'),
    toldAt: Time,
  })
  .meta({ id: 'Dispute' });
export type DisputeView = z.infer<typeof DisputeView>;

/** A page of disputes, and how to ask for one. */
export const DisputePage = pageOf(DisputeView);
export const DisputeQuery = PageQuery;

/** The command in the queue `purchases`: put to the provider what this purchase needs to know next. */
export const PayCommand = z.object({
  purchaseId: idOf<PurchaseId>(),
  /**
   * How many attempts the sender had seen. A message whose number is outdated is a duplicate of one that was carried out,
   * and is dropped, so that a purchase has one chain of attempts.
   */
  attempt: z.int().min(0).optional(),
  correlationId: z.string().optional(),
});
export type PayCommand = z.infer<typeof PayCommand>;

/** The action that the provider asks of the customer: where, and until when. */
export const RequiredAction = z.object({
  url: z.url({ protocol: /^https?$/ }).max(2048),
  expiresAt: z.iso.datetime({ offset: true }).nullish(),
});
export type RequiredAction = z.infer<typeof RequiredAction>;

/** What the provider's webhook reports. */
export const PaymentWebhook = z
  .object({
    type: z.enum([
      'payment.captured',
      'payment.declined',
      'payment.refunded',
      'payment.refund_failed',
      'payment.requires_action',
    ]),
    data: z.object({
      chargeId: z.string().min(1).max(64),
      /** The purchase's id. */
      idempotencyKey: z.string(),
      /** For a refund: the amount of this refund. */
      amountMinor: z.int().optional(),
      currency: z.string().max(16).optional(),
      reference: z.string().max(255).optional(),
      declineCode: z.string().max(64).nullish(),
      /** Why a refund was refused. */
      failureReason: z.string().max(64).nullish(),
      action: RequiredAction.nullish(),
      refundId: z.string().max(255).nullish(),
      /** The idempotency key under which the refund was asked for. */
      refundKey: z.string().max(255).nullish(),
    }),
  })
  .meta({ id: 'PaymentWebhook' });
export type PaymentWebhook = z.infer<typeof PaymentWebhook>;
