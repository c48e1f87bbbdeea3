/** The accept route behind its wrapper, which checks the caller and the input, and nothing behind that. */
import { createReservationRoute } from '#functions/http/reservation.routes.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { newId } from '#platform/kernel/ids.ts';

export const handler = httpHandler(createReservationRoute, async ({ params: { saleId } }) => {
  const reservationId = newId<'reservation'>(0);
  return { reservationId, saleId, state: 'requested' as const, ticket: 1, position: 1, statusUrl: '/' };
});
