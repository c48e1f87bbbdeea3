/** GET /me/sessions: where the caller is signed in. */
import { listSessions } from '#identity/session.ts';
import { forCustomer } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { listSessionsRoute } from './identity.routes.ts';

export const handler = httpHandler(
  forCustomer(listSessionsRoute),
  perCustomer('lookups-customer', ({ deps, caller, query }) => listSessions(deps, caller, query)),
);
