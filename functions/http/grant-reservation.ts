/** POST /sales/{saleId}/grants: an operator serves somebody who waits, out of turn. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { grantReservation } from '#launch/grant.ts';
import { grantReservationRoute } from './sale.routes.ts';

export const handler = operatorHandler(byKey(grantReservationRoute), ({ deps, params, body }, keep) =>
  grantReservation(deps, params.saleId, body, keep),
);
