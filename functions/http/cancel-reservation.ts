/** DELETE /reservations/{reservationId}: cancels a reservation; its units go to the waitlist. */
import { forCustomer } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { cancelReservation } from '#reservation/cancel.ts';
import { cancelReservationRoute } from './reservation.routes.ts';

export const handler = httpHandler(
  forCustomer(cancelReservationRoute),
  perCustomer('changes-customer', ({ deps, caller, params, query }) =>
    cancelReservation(deps, caller.customerId, params.reservationId, query.receipt),
  ),
);
