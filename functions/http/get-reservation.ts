/** GET /reservations/{reservationId}: the state of a reservation. */
import { forCustomer } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomerInOneStep } from '#platform/handlers/limits.ts';
import { getReservation } from '#reservation/read.ts';
import { getReservationRoute } from './reservation.routes.ts';

export const handler = httpHandler(
  forCustomer(getReservationRoute),
  perCustomerInOneStep('lookups-customer', ({ deps, caller, params, query }, passage) =>
    getReservation(deps, caller.customerId, params.reservationId, query.receipt, passage),
  ),
);
