/** POST /auth/login: signs in with e-mail and password. */
import { login } from '#identity/session.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { loginRoute } from './identity.routes.ts';

export const handler = httpHandler(loginRoute, ({ deps, tokens, body, sourceIp }) =>
  login(deps, tokens, body, sourceIp),
);
