/** POST /auth/logout: ends the session of a refresh token. */
import { logout } from '#identity/session.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perAddress } from '#platform/handlers/limits.ts';
import { logoutRoute } from './identity.routes.ts';

export const handler = httpHandler(
  logoutRoute,
  perAddress('session-address', ({ deps, body }) => logout(deps, body.refreshToken)),
);
