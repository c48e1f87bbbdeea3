/** POST /auth/password/reset: sets a new password with a code from a mail, and ends all sessions. */
import { underKey } from '#idempotency/once.ts';
import { resetPassword } from '#identity/passwords.ts';
import { endSession } from '#notification/connections.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { attemptOf } from '#platform/handlers/limits.ts';
import { resetPasswordRoute } from './identity.routes.ts';

export const handler = httpHandler(
  resetPasswordRoute,
  underKey(resetPasswordRoute, (call, once) =>
    resetPassword(call.deps, call.caller, call.body, attemptOf(call), (ended) => endSession(call.deps, ended), once),
  ),
);
