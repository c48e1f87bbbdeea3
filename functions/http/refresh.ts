/** POST /auth/refresh: exchanges a refresh token for the next session of its family. */
import { underKey } from '#idempotency/once.ts';
import { refresh } from '#identity/session.ts';
import { endSession } from '#notification/connections.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perAddress } from '#platform/handlers/limits.ts';
import { refreshRoute } from './identity.routes.ts';

export const handler = httpHandler(
  refreshRoute,
  perAddress(
    'session-address',
    underKey(refreshRoute, ({ deps, tokens, body }, once) =>
      refresh(deps, tokens, body.refreshToken, (ended) => endSession(deps, ended), once),
    ),
  ),
);
