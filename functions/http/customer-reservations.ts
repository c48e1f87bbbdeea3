/** What customers do with a reservation: one function, as both need the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as cancelReservation } from './cancel-reservation.ts';
import { handler as reduceReservation } from './reduce-reservation.ts';
import * as reservation from './reservation.routes.ts';

export const handler = severalRoutes([
  [reservation.reduceReservationRoute, reduceReservation],
  [reservation.cancelReservationRoute, cancelReservation],
]);
