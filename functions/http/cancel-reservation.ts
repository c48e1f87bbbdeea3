/** DELETE /reservations/{reservationId}: units go back to the waitlist. */
import { inventoryPorts } from '../../lib/inventory/ports.ts';
import { cancelReservation } from '../../lib/inventory/release.ts';
import { isRefusal, refuse } from '../../lib/platform/errors.ts';
import { httpHandler } from '../../lib/platform/http.ts';
import { getReservation } from '../../lib/reservation/read.ts';
import { cancelReservationRoute } from './reservation.routes.ts';

export const handler = httpHandler(cancelReservationRoute, async ({ deps, caller, params }) => {
  const known = await getReservation(deps, params.reservationId, caller.customerId);
  if (isRefusal(known)) return known;
  if (known.state === 'requested') return refuse('conflict', 'It has not been decided yet; try again in a moment.');
  const ports = inventoryPorts(deps);
  const cancelled = await cancelReservation(ports, known.saleId, params.reservationId, caller.customerId);
  return isRefusal(cancelled) ? cancelled : getReservation(deps, params.reservationId, caller.customerId);
});
