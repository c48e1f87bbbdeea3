/** POST /auth/logout: ends the session of a refresh token, and its WebSocket connections. */
import { keptAfter } from '#idempotency/once.ts';
import { logout } from '#identity/session.ts';
import { endSession } from '#notification/connections.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCaller } from '#platform/handlers/limits.ts';
import { logoutRoute } from './identity.routes.ts';

export const handler = httpHandler(
  logoutRoute,
  perCaller(
    'session-address',
    keptAfter(logoutRoute, async ({ deps, body }) => {
      const ended = await logout(deps, body.refreshToken);
      if (ended) await endSession(deps, ended);
      return undefined;
    }),
  ),
);
