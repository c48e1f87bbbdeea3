/** GET /me/export: all that is kept about the caller, in parts. */
import { exportOwnData } from '#account/own-data.ts';
import { forCustomer } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { exportOwnDataRoute } from './account.routes.ts';

export const handler = httpHandler(
  forCustomer(exportOwnDataRoute),
  perCustomer('lookups-customer', ({ deps, caller, query }) => exportOwnData(deps, caller, query)),
);
