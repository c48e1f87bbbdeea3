/** GET /reservations/{reservationId}: where a reservation stands. */
import { httpHandler } from '../../lib/platform/http.ts';
import { getReservation } from '../../lib/reservation/read.ts';
import { getReservationRoute } from './reservation.routes.ts';

export const handler = httpHandler(getReservationRoute, ({ deps, caller, params }) =>
  getReservation(deps, params.reservationId, caller.customerId),
);
