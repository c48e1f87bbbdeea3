/** POST /auth/logout: ends the session of a refresh token. */
import { logout } from '../../lib/identity/session.ts';
import { httpHandler } from '../../lib/platform/http.ts';
import { logoutRoute } from './identity.routes.ts';

export const handler = httpHandler(logoutRoute, ({ deps, body }) => logout(deps, body.refreshToken));
