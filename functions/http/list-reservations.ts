/** GET /reservations: the caller's reservations, the latest first. */
import { httpHandler } from '../../lib/platform/http.ts';
import { listReservations } from '../../lib/reservation/read.ts';
import { listReservationsRoute } from './reservation.routes.ts';

export const handler = httpHandler(listReservationsRoute, ({ deps, caller, query }) =>
  listReservations(deps, caller.customerId, query),
);
