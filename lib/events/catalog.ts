/**
 * Every event that Holdfast publishes: its schema, version, producers and consumers.
 *
 * An event states what is already committed. Its name is its detail type on the bus; `test/contract/events.test.ts` checks
 * the catalog against the rules of `serverless.yml`. One event carries up to `changesPerEvent` changes (outbox.ts), so
 * that the number of events grows with the number of batches, not of customers.
 */

import * as z from 'zod';
import type { CustomerId, PurchaseId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { StockLevel } from '#sale/sale.shapes.ts';
import { salePhases, saleStatuses } from '#sale/sale.table.ts';
import { purchaseStates } from '#state/purchase-state.ts';
import { ChangeGroups } from './changes.ts';

interface EventDefinition {
  description: string;
  version: number;
  producers: string[];
  /** Queues whose functions consume it. */
  consumers: string[];
  detail: z.ZodType;
}

/** The fields that every event carries beside its own detail. */
export const Envelope = z.object({
  eventId: z.string(),
  schemaVersion: z.number().int(),
  occurredAtMs: z.number().int(),
  correlationId: z.string().optional(),
});

export const catalog = {
  'reservations.changed': {
    description: 'Reservations moved from one state to another; stock is as of the same commit.',
    version: 1,
    producers: ['lib/reservation', 'lib/purchase'],
    consumers: ['notifications', 'mail', 'webhooks', 'advance'],
    detail: z.object({
      changes: ChangeGroups,
      stocks: z.array(StockLevel),
      /**
       * Whether units became available or were offered: then the line must be served, and the ends of the offers scheduled.
       */
      released: z.boolean(),
    }),
  },
  'reservations.reminded': {
    description:
      'Customers are told what concerns a whole sale: that its window opened or closes soon, that its times moved, that it was paused or goes on, that the line moved up.',
    version: 1,
    producers: ['lib/launch'],
    consumers: ['notifications', 'mail', 'webhooks'],
    detail: z.object({
      saleId: idOf<SaleId>(),
      reason: z.enum([
        'purchase-opened',
        'closing-soon',
        'payment-due',
        'rescheduled',
        'paused',
        'resumed',
        'called-off-refund',
        'called-off-keep',
        'moved-up',
      ]),
      /**
       * Tells one announcement of a kind from the next: the sale's version with which it was announced, or for `payment-due`
       * the deadline.
       */
      round: z.number().int().optional(),
      /** When it became true; absent if that is when the event occurred. */
      announcedAtMs: z.number().int().optional(),
      /** The sale's times as they were when this was recorded. */
      times: z
        .object({
          reserveClosesAtMs: z.number().int(),
          purchaseOpensAtMs: z.number().int(),
          purchaseClosesAtMs: z.number().int(),
        })
        .optional(),
      recipients: z.array(
        z.object({
          reservationId: idOf<ReservationId>(),
          customerId: idOf<CustomerId>(),
          units: z.number().int(),
          version: z.number().int(),
          /** Until when the units can be bought; absent where none are set aside yet. */
          deadlineMs: z.number().int().optional(),
          /** Their place on the waitlist, from 1, if it has changed. */
          position: z.number().int().optional(),
        }),
      ),
    }),
  },
  'purchase.changed': {
    description:
      'A purchase was captured, declined or refunded, a part of it was given back, or its customer must confirm it.',
    version: 1,
    producers: ['lib/purchase'],
    consumers: ['notifications', 'mail', 'webhooks'],
    detail: z.object({
      purchaseId: idOf<PurchaseId>(),
      customerId: idOf<CustomerId>(),
      state: z.enum(purchaseStates),
      amountMinor: z.number().int(),
      currency: z.string(),
      reservationIds: z.array(idOf<ReservationId>()),
      version: z.number().int(),
      reason: z.string().optional(),
      /**
       * What was given back just now, in minor units: the last of the money if the purchase is `refunded`, or if this is said
       * by `isAllBack`, as when only units are still to return; otherwise a part.
       */
      givenBackMinor: z.number().int().optional(),
      isAllBack: z.boolean().optional(),
      /**
       * Until when the customer can confirm a purchase that is `requires_action`. The address is for its owner alone to
       * read.
       */
      deadlineMs: z.number().int().optional(),
    }),
  },
  'sale.changed': {
    description: 'A sale entered its next phase, or an operator changed its terms or status.',
    version: 1,
    producers: ['lib/launch'],
    consumers: ['notifications', 'mail', 'webhooks'],
    detail: z.object({
      saleId: idOf<SaleId>(),
      phase: z.enum(salePhases),
      status: z.enum(saleStatuses),
      stock: StockLevel,
      /** Whether some who could find it cannot any more, or only with another code: whoever watches it has to ask again. */
      hidden: z.boolean().optional(),
    }),
  },
  'sale.published': {
    description: 'A sale became public; one that asks for a code, for those who have it.',
    version: 1,
    producers: ['lib/launch'],
    consumers: ['webhooks'],
    detail: z.object({
      saleId: idOf<SaleId>(),
      /** Since when it is public. */
      publicFromMs: z.number().int(),
      requiresCode: z.boolean(),
    }),
  },
} as const satisfies Record<string, EventDefinition>;

export type EventName = keyof typeof catalog;
/** An event's detail as its producer passes it. */
export type EventDetail<Name extends EventName> = z.input<(typeof catalog)[Name]['detail']>;

/** What a consumer of the bus receives from its queue: EventBridge's envelope around an event of the catalog. */
export const BusEvent = z.discriminatedUnion('detail-type', [
  z.object({
    'detail-type': z.literal('reservations.changed'),
    detail: Envelope.extend(catalog['reservations.changed'].detail.shape),
  }),
  z.object({
    'detail-type': z.literal('reservations.reminded'),
    detail: Envelope.extend(catalog['reservations.reminded'].detail.shape),
  }),
  z.object({
    'detail-type': z.literal('purchase.changed'),
    detail: Envelope.extend(catalog['purchase.changed'].detail.shape),
  }),
  z.object({
    'detail-type': z.literal('sale.changed'),
    detail: Envelope.extend(catalog['sale.changed'].detail.shape),
  }),
  z.object({
    'detail-type': z.literal('sale.published'),
    detail: Envelope.extend(catalog['sale.published'].detail.shape),
  }),
]);
export type BusEvent = z.infer<typeof BusEvent>;
