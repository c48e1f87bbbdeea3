/** POST /me/contact: shows with a code from a mail that the address is the caller’s own. */
import { underKey } from '#idempotency/once.ts';
import { verifyContact } from '#identity/contact.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { verifyContactRoute } from './identity.routes.ts';

export const handler = httpHandler(
  verifyContactRoute,
  perCustomer(
    'codes-caller',
    underKey(verifyContactRoute, ({ deps, caller, body }, once) =>
      verifyContact(deps, caller.customerId, body.code, once),
    ),
  ),
);
