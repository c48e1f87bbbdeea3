/** GET /me: who is signed in. */
import { getMe } from '#identity/session.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { getMeRoute } from './identity.routes.ts';

export const handler = httpHandler(
  getMeRoute,
  perCustomer('lookups-customer', ({ deps, caller }) => getMe(deps, caller.customerId)),
);
