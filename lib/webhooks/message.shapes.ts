/**
 * What a webhook says, by its type: the shapes that are sent are the shapes that the OpenAPI document describes. They are for
 * programs of others, so they only ever gain fields.
 */
import * as z from 'zod';
import type { EventName } from '#events/catalog.ts';
import { Label, shownLabel } from '#labels/label.shapes.ts';
import type { CustomerId, PurchaseId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { idOf, Time } from '#platform/kernel/shapes.ts';
import { salePhases, saleStatuses } from '#sale/sale.table.ts';
import { purchaseStates } from '#state/purchase-state.ts';
import { reservationStates } from '#state/reservation-state.ts';

/** What the shop has noted on it; absent where there is nothing. */
const label = {
  reference: Label.shape.reference
    .unwrap()
    .optional()
    .describe(shownLabel.reference.description ?? ''),
  metadata: z
    .record(z.string(), z.string())
    .optional()
    .describe(shownLabel.metadata.description ?? ''),
};

const Version = z.int().describe('Rises with every change: drop what is older than what you have');

/** The stock of a sale right after a change. */
const Stock = z
  .object({
    saleId: idOf<SaleId>(),
    epoch: z.int().describe('Rises when the shop was restored from a backup; compare it before the version'),
    version: Version,
    allotment: z.int(),
    available: z.int(),
    allocated: z.int(),
    sold: z.int(),
    waitlisted: z.int().describe('Reservations, not units'),
  })
  .meta({ id: 'WebhookStock' });

const ReservationsChanged = z.object({
  changes: z.array(
    z.object({
      reservationId: idOf<ReservationId>(),
      saleId: idOf<SaleId>(),
      customerId: idOf<CustomerId>(),
      from: z.enum(reservationStates),
      to: z.enum(reservationStates),
      units: z.int().describe('Set aside, bought or given back by this move'),
      quantity: z.int(),
      version: Version,
      reason: z.string().optional(),
      deadline: Time.optional().describe('Until when the units can be bought'),
      ...label,
    }),
  ),
  stocks: z.array(Stock),
});

const ReservationsReminded = z.object({
  saleId: idOf<SaleId>(),
  reason: z
    .string()
    .describe('Such as purchase-opened, closing-soon, payment-due, rescheduled, paused, resumed, moved-up'),
  recipients: z.array(
    z.object({
      reservationId: idOf<ReservationId>(),
      customerId: idOf<CustomerId>(),
      units: z.int(),
      version: Version,
      deadline: Time.optional(),
      position: z.int().optional().describe('The place in the line, from 1'),
      ...label,
    }),
  ),
});

const PurchaseChanged = z.object({
  purchaseId: idOf<PurchaseId>(),
  customerId: idOf<CustomerId>(),
  state: z.enum(purchaseStates),
  amount: z.object({ amountMinor: z.int(), currency: z.string() }),
  reservationIds: z.array(idOf<ReservationId>()),
  version: Version,
  reason: z.string().optional(),
  givenBackMinor: z.int().optional().describe('What was given back just now, in minor units'),
  deadline: Time.optional().describe('Until when the customer can confirm a purchase that is requires_action'),
  ...label,
});

const SaleChanged = z.object({
  saleId: idOf<SaleId>(),
  phase: z.enum(salePhases),
  status: z.enum(saleStatuses),
  stock: Stock,
  ...label,
});

const SalePublished = z.object({
  saleId: idOf<SaleId>(),
  publicFrom: Time.describe('Since when it is public'),
  requiresCode: z.boolean().describe('Whether only those find it who show its access code'),
  ...label,
});

const Tested = z.object({ endpointId: z.string() });

function messageOf<Type extends string, Data extends z.ZodType>(type: Type, data: Data) {
  return z.object({ type: z.literal(type), timestamp: Time.describe('When it happened'), data });
}

/** What is sent, by the event that it tells of. */
export const webhookMessages = {
  'reservations.changed': messageOf('reservations.changed', ReservationsChanged).meta({
    id: 'WebhookReservationsChanged',
    description: 'Reservations moved from one state to another; up to a hundred in one message.',
  }),
  'reservations.reminded': messageOf('reservations.reminded', ReservationsReminded).meta({
    id: 'WebhookReservationsReminded',
    description: 'Customers were told what concerns a whole sale; up to a hundred in one message.',
  }),
  'purchase.changed': messageOf('purchase.changed', PurchaseChanged).meta({
    id: 'WebhookPurchaseChanged',
    description: 'A purchase was captured, declined or refunded, in part or whole, or waits for its customer.',
  }),
  'sale.changed': messageOf('sale.changed', SaleChanged).meta({
    id: 'WebhookSaleChanged',
    description: 'A sale entered its next phase, or an operator changed its terms or status.',
  }),
  'sale.published': messageOf('sale.published', SalePublished).meta({
    id: 'WebhookSalePublished',
    description: 'A sale became public.',
  }),
} as const satisfies Record<EventName, z.ZodType>;

/** Sent when an operator asks for it; the endpoint's filter does not apply. */
export const testMessage = messageOf('webhook.test', Tested).meta({
  id: 'WebhookTest',
  description: 'An operator tries the endpoint.',
});

/** All that is sent, by type, for the document. */
export const documentedWebhooks = { ...webhookMessages, 'webhook.test': testMessage };
