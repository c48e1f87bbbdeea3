/** POST /auth/logout: ends the session of a refresh token. */
import { logout } from '#identity/session.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { logoutRoute } from './identity.routes.ts';

export const handler = httpHandler(logoutRoute, ({ deps, body }) => logout(deps, body.refreshToken));
