/** POST /me/password: changes the password, and ends the other sessions. */
import { underKey } from '#idempotency/once.ts';
import { changePassword } from '#identity/passwords.ts';
import { endSession } from '#notification/connections.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { attemptOf } from '#platform/handlers/limits.ts';
import { changePasswordRoute } from './identity.routes.ts';

export const handler = httpHandler(
  changePasswordRoute,
  underKey(changePasswordRoute, (call, once) =>
    changePassword(call.deps, call.caller, call.body, attemptOf(call), (ended) => endSession(call.deps, ended), once),
  ),
);
