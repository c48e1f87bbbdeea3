/** PATCH /me: sets the language and the time zone of the caller's notices. */
import { changeMe } from '#identity/session.ts';
import { forCustomer } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { updateMeRoute } from './identity.routes.ts';

export const handler = httpHandler(
  forCustomer(updateMeRoute),
  perCustomer('changes-customer', ({ deps, caller, body }) => changeMe(deps, caller.customerId, body)),
);
