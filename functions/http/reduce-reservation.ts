/** PATCH /reservations/{reservationId}: lowers the quantity of a reservation; what it gives back goes to the waitlist. */
import { forCustomer } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { reduceReservation } from '#reservation/reduce.ts';
import { reduceReservationRoute } from './reservation.routes.ts';

export const handler = httpHandler(
  forCustomer(reduceReservationRoute),
  perCustomer('changes-customer', ({ deps, caller, params, query, body }) =>
    reduceReservation(deps, caller.customerId, params.reservationId, body.quantity, query.receipt),
  ),
);
