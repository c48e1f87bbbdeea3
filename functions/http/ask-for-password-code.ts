/** POST /auth/password/code: mails a code to the owner of an address, if it has an account. */
import { keptAfter } from '#idempotency/once.ts';
import { askForPasswordCode } from '#identity/codes.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCaller } from '#platform/handlers/limits.ts';
import { askForPasswordCodeRoute } from './identity.routes.ts';

export const handler = httpHandler(
  askForPasswordCodeRoute,
  perCaller(
    'codes-caller',
    keptAfter(askForPasswordCodeRoute, ({ deps, body }) => askForPasswordCode(deps, body.email)),
  ),
);
