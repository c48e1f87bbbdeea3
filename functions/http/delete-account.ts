/** POST /me/deletion: deletes the account. */
import { underKey } from '#idempotency/once.ts';
import { forOutside } from '#identity/outside-caller.ts';
import { deleteAccount } from '#identity/passwords.ts';
import { endAccount, endSession } from '#notification/connections.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { attemptOf } from '#platform/handlers/limits.ts';
import { deleteAccountRoute } from './identity.routes.ts';

export const handler = httpHandler(
  forOutside(deleteAccountRoute),
  underKey(deleteAccountRoute, async (call, once) => {
    const { deps, caller, body } = call;
    const refusal = await deleteAccount(deps, caller, body, attemptOf(call), (ended) => endSession(deps, ended), once);
    if (!refusal) await endAccount(deps, caller.customerId);
    return refusal;
  }),
);
