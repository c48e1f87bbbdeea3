/** GET /reservations: the caller's reservations, the latest first. */
import { forCustomer } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { listReservations } from '#reservation/read.ts';
import { listReservationsRoute } from './reservation.routes.ts';

export const handler = httpHandler(
  forCustomer(listReservationsRoute),
  perCustomer('lookups-customer', ({ deps, caller, query }) => listReservations(deps, caller.customerId, query)),
);
