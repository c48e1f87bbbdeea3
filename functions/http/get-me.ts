/** GET /me: who is signed in. */
import { getMe } from '#identity/session.ts';
import { forCustomer } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { getMeRoute } from './identity.routes.ts';

export const handler = httpHandler(
  forCustomer(getMeRoute),
  perCustomer('lookups-customer', ({ deps, caller }) => getMe(deps, caller.customerId)),
);
