/** POST /me/contact: shows with a code from a mail that the address is the caller’s own. */
import { verifyContact } from '#identity/contact.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { verifyContactRoute } from './identity.routes.ts';

export const handler = httpHandler(
  verifyContactRoute,
  perCustomer('codes-caller', ({ deps, caller, body }) => verifyContact(deps, caller.customerId, body.code)),
);
