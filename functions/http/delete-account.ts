/** POST /me/deletion: deletes the account. */
import { forOutside } from '#identity/outside-caller.ts';
import { deleteAccount } from '#identity/passwords.ts';
import { endSession } from '#notification/connections.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { attemptOf } from '#platform/handlers/limits.ts';
import { deleteAccountRoute } from './identity.routes.ts';

export const handler = httpHandler(forOutside(deleteAccountRoute), (call) =>
  deleteAccount(call.deps, call.caller, call.body, attemptOf(call), (ended) => endSession(call.deps, ended)),
);
