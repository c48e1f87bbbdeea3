/** GET /ops/sales/{saleId}/reservations: what operators find among them. */
import { byKey } from '#keys/identify.ts';
import { lookUpReservations } from '#operations/look-up.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { lookUpReservationsRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(lookUpReservationsRoute), ({ deps, params, query }) =>
  lookUpReservations(deps, params.saleId, query),
);
