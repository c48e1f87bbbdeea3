/** The shapes of what operators look up: the reservations, purchases and customers of a sale. */
import * as z from 'zod';
import { Reference, shownLabel } from '#labels/label.shapes.ts';
import { PageQuery, pageOf } from '#platform/handlers/pagination.ts';
import type { CustomerId, PurchaseId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { Instant, idOf, line, Time } from '#platform/kernel/shapes.ts';
import { purchaseStates } from '#state/purchase-state.ts';
import { reservationStates } from '#state/reservation-state.ts';

export const SaleOfPath = z.strictObject({ saleId: idOf<SaleId>() });

/** What narrows each list; several together narrow further. */
const filters = {
  email: line(1, 254).toLowerCase().optional().describe('The beginning of the e-mail address, or all of it'),
  customerId: idOf<CustomerId>().optional(),
  customerExternalId: line(1, 255)
    .optional()
    .describe('How the shop’s own system knows the customer; all of it, exactly'),
  externalId: line(1, 64).optional().describe('The payment provider’s id of a charge'),
  reference: Reference.optional().describe(
    'The shop’s reference of the reservation or the purchase; of customers, of any of theirs',
  ),
  from: Instant.optional().describe('Accepted at this time or later'),
  to: Instant.optional().describe('Accepted before this time'),
};
const ReservationState = z.enum(reservationStates).optional();
const PurchaseState = z.enum(purchaseStates).optional();

export const ReservationSearch = PageQuery.extend({ state: ReservationState, ...filters });
export const PurchaseSearch = PageQuery.extend({ state: PurchaseState, ...filters });
export const CustomerSearch = PageQuery.extend({
  state: ReservationState.describe('Those who have a reservation in this state'),
  ...filters,
});

/** What is asked of any of the lists. */
export type Search = Omit<z.output<typeof ReservationSearch>, 'state'> & { readonly state?: string | undefined };

/** The lists that can be exported, by the last part of their address. */
export const lists = ['reservations', 'purchases', 'customers'] as const;
export type ListName = (typeof lists)[number];
export const ExportPath = z.strictObject({ saleId: idOf<SaleId>(), list: z.enum(lists) });
export const ExportQuery = z.strictObject({
  state: z.enum([...new Set([...reservationStates, ...purchaseStates])]).optional(),
  ...filters,
  cursor: PageQuery.shape.cursor.describe('From x-next-cursor of the part before'),
});
export type ExportQuery = z.output<typeof ExportQuery>;
export const ActExportQuery = z.strictObject({ cursor: PageQuery.shape.cursor });

/** The customer; one whose account was deleted has no address, no name and no external id. */
const who = {
  customerId: idOf<CustomerId>(),
  email: z.string().nullable().describe('Empty for one whom the external id alone names'),
  name: z.string().nullable(),
  customerExternalId: z.string().nullable().describe('How the shop’s own system knows the customer'),
};

export const FoundReservation = z
  .object({
    reservationId: idOf<ReservationId>(),
    ...who,
    state: z.enum(reservationStates),
    quantity: z.int(),
    atLeast: z.int(),
    units: z.int(),
    ticket: z.int(),
    reason: z.string().nullable(),
    purchaseId: idOf<PurchaseId>().nullable(),
    partOf: idOf<ReservationId>().nullable(),
    ...shownLabel,
    acceptedAt: Time,
    decidedAt: Time,
  })
  .meta({ id: 'FoundReservation' });
export type FoundReservation = z.infer<typeof FoundReservation>;

export const FoundPurchase = z
  .object({
    purchaseId: idOf<PurchaseId>(),
    ...who,
    state: z.enum(purchaseStates),
    units: z.int().describe('Of this sale'),
    amountMinor: z.int().describe('What was ordered, other sales included'),
    currency: z.string(),
    capturedMinor: z.int().nullable(),
    externalId: z.string().nullable().describe('The payment provider’s id of the charge'),
    reason: z.string().nullable(),
    ...shownLabel,
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'FoundPurchase' });
export type FoundPurchase = z.infer<typeof FoundPurchase>;

export const FoundCustomer = z
  .object({
    ...who,
    reservations: z.record(z.enum(reservationStates), z.int()).describe('How many in this sale, by state'),
    unitsHeld: z.int().describe('Set aside now'),
    unitsBought: z.int(),
    firstAt: Time.describe('When the first of them was accepted'),
  })
  .meta({ id: 'FoundCustomer' });
export type FoundCustomer = z.infer<typeof FoundCustomer>;

export const FoundReservations = pageOf(FoundReservation);
export const FoundPurchases = pageOf(FoundPurchase);
export const FoundCustomers = pageOf(FoundCustomer);
