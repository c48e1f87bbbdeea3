/** POST /me/contact/code: mails a code to the caller. */
import { keptAfter } from '#idempotency/once.ts';
import { askForContactCode } from '#identity/codes.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCaller } from '#platform/handlers/limits.ts';
import { askForContactCodeRoute } from './identity.routes.ts';

export const handler = httpHandler(
  askForContactCodeRoute,
  perCaller(
    'codes-caller',
    keptAfter(askForContactCodeRoute, ({ deps, caller }) => askForContactCode(deps, caller.customerId)),
  ),
);
