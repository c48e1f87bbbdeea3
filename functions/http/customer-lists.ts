/** What customers list of their own, as the mirror should know it: one function, as both need the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import * as account from './account.routes.ts';
import { handler as exportOwnData } from './export-own-data.ts';
import { handler as listReservations } from './list-reservations.ts';
import * as reservation from './reservation.routes.ts';

export const handler = severalRoutes([
  [reservation.listReservationsRoute, listReservations],
  [account.exportOwnDataRoute, exportOwnData],
]);
