/** POST /sales/{saleId}/reservations: queues a reservation request. */
import { forCustomer } from '#keys/identify.ts';
import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { perCustomerAndAddress } from '#platform/handlers/limits.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { openSince, requestReservation } from '#reservation/request.ts';
import { createReservationRoute } from './reservation.routes.ts';

export const handler = httpHandler(
  forCustomer(createReservationRoute),
  perCustomerAndAddress(
    'reservations-customer',
    'reservations-address',
    async (call, passage) => {
      const { deps, caller, params, body, idempotencyKey } = call;
      const accepted = await requestReservation(deps, caller, params.saleId, idempotencyKey, body, passage);
      return isRefusal(accepted) ? accepted : new Reply(accepted, { location: accepted.statusUrl });
    },
    ({ deps, params, body }) => openSince(deps, params.saleId, body.code),
  ),
);
