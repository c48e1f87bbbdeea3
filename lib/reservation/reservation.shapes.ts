/**
 * The shapes of a reservation: the request, the command in the queue, and the client's view.
 */

import * as z from 'zod';
import { Label, labelFields } from '#labels/label.shapes.ts';
import type { ApiKeyId, CustomerId, PurchaseId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { ShownCode } from '#sale/sale.shapes.ts';
import { reservationStates } from '#state/reservation-state.ts';

/** The most units in one reservation; the sale's cap per customer is usually far lower. */
export const maxQuantity = 10_000;

const Quantity = z.number().int().min(1).max(maxQuantity);

/** How a reservation may be filled: with all it asks for, or with at least a minimum. */
export const Fill = z
  .union([z.literal('all'), z.strictObject({ atLeast: Quantity })])
  .describe(
    '`"all"`: all of the quantity or nothing; `{"atLeast": 1}`: what can be had of it, if it is so many at least',
  );

/** What a customer asks for. */
export const ReservationRequest = z
  .strictObject({ quantity: Quantity, fill: Fill.default('all'), code: ShownCode.optional(), ...labelFields })
  .refine((request) => request.fill === 'all' || request.fill.atLeast <= request.quantity, {
    path: ['fill', 'atLeast'],
    message: 'must not exceed quantity',
  })
  .meta({ id: 'ReservationRequest' });
export type ReservationRequest = z.output<typeof ReservationRequest>;

/** A lower quantity for a reservation. */
export const ReservationReduction = z
  .strictObject({
    quantity: z
      .number()
      .int()
      .min(1, 'must be at least 1; to give all of it back, cancel the reservation (DELETE)')
      .max(maxQuantity),
  })
  .meta({ id: 'ReservationReduction' });

/** The command in the queue `reservations`. Unknown fields, as from a newer build, are ignored. */
export const ReserveCommand = z.object({
  reservationId: idOf<ReservationId>(),
  saleId: idOf<SaleId>(),
  customerId: idOf<CustomerId>(),
  quantity: Quantity,
  atLeast: Quantity,
  /** What sales may ask of this customer, by the token of the request (`standingOf`); absent if nothing. */
  standing: z.string().max(16).optional(),
  /** What the code proves that came with the request (`accessOf`); absent without one. */
  access: z.string().max(64).optional(),
  /** Place in line, the time of admission; absent when the gate was unavailable, and then SQS's timestamp counts. */
  ticket: z.number().int().positive().optional(),
  correlationId: z.string().optional(),
  /** What the shop has noted on it, and the API key that asked; both absent for a customer's own request. */
  label: Label.optional(),
  keyId: idOf<ApiKeyId>().optional(),
});
export type ReserveCommand = Readonly<z.output<typeof ReserveCommand>>;

/** The answer to an accepted request. */
export const ReservationAccepted = z
  .object({
    reservationId: idOf<ReservationId>(),
    saleId: idOf<SaleId>(),
    state: z.enum(reservationStates),
    /** Place in line; null if the gate was unavailable and the place is not known yet. */
    ticket: z.number().int().nullable(),
    /** How many requests the gate had admitted to this sale, this one included. */
    position: z.number().int().nullable(),
    statusUrl: z.string(),
  })
  .meta({ id: 'ReservationAccepted' });
export type ReservationAccepted = z.infer<typeof ReservationAccepted>;

/** A reservation as its owner sees it. */
export const ReservationView = z
  .object({
    reservationId: idOf<ReservationId>(),
    saleId: idOf<SaleId>(),
    state: z.enum(reservationStates),
    quantity: z.number().int(),
    fill: Fill,
    units: z.number().int(),
    ticket: z.number().int().nullable(),
    position: z
      .number()
      .int()
      .nullable()
      .describe(
        'While waitlisted, its place on the waitlist, from 1; while requested, its place among all requests. Null otherwise, and for a short time, far back in the line, while places are being restored',
      ),
    reason: z.string().nullable(),
    /** Until when allocated units can be bought; in a paused sale, as if it were resumed now. */
    deadline: z.iso.datetime().nullable(),
    purchaseId: idOf<PurchaseId>().nullable(),
    /** The reservation that it was split from at first: it was given back, left over, or refunded. */
    partOf: idOf<ReservationId>().nullable(),
    version: z.number().int(),
    acceptedAt: z.iso.datetime().nullable(),
    decidedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Reservation' });
export type ReservationView = z.infer<typeof ReservationView>;

/** The fewest units that a request accepts. */
export function leastOf(request: Pick<ReservationRequest, 'quantity' | 'fill'>): number {
  return request.fill === 'all' ? request.quantity : request.fill.atLeast;
}

/** The fill policy of a stored minimum. */
export function fillOf(quantity: number, atLeast: number): z.infer<typeof Fill> {
  return quantity === atLeast ? 'all' : { atLeast };
}
