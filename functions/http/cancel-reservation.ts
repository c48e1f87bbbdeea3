/** DELETE /reservations/{reservationId}: units go back to the waitlist. */

import { httpHandler } from '#platform/handlers/http.ts';
import { isRefusal, refuse } from '#platform/kernel/errors.ts';
import { getDecidedReservation, getReservation } from '#reservation/read.ts';
import { inventoryPorts } from '#reservation/release.ports.ts';
import { cancelReservation } from '#reservation/release.ts';
import { cancelReservationRoute } from './reservation.routes.ts';

export const handler = httpHandler(cancelReservationRoute, async ({ deps, caller, params }) => {
  const { reservationId } = params;
  // A mirror that is behind must neither refuse what MySQL has decided, nor show a state from before.
  const decided = await getDecidedReservation(deps, reservationId, caller.customerId);
  const known = isRefusal(decided) ? await getReservation(deps, reservationId, caller.customerId) : decided;
  if (isRefusal(known)) return known;
  if (known.state === 'requested') return refuse('conflict', 'It has not been decided yet; try again in a moment.');
  const ports = inventoryPorts(deps);
  const cancelled = await cancelReservation(ports, known.saleId, reservationId, caller.customerId);
  return isRefusal(cancelled) ? cancelled : getDecidedReservation(deps, reservationId, caller.customerId);
});
