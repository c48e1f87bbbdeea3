/** POST /me/contact/code: mails a code to the caller. */
import { askForContactCode } from '#identity/codes.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCaller } from '#platform/handlers/limits.ts';
import { askForContactCodeRoute } from './identity.routes.ts';

export const handler = httpHandler(
  askForContactCodeRoute,
  perCaller('codes-caller', ({ deps, caller }) => askForContactCode(deps, caller.customerId)),
);
