/** POST /auth/login: signs in with e-mail and password. */
import { underKey } from '#idempotency/once.ts';
import { login } from '#identity/session.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { attemptOf } from '#platform/handlers/limits.ts';
import { loginRoute } from './identity.routes.ts';

export const handler = httpHandler(
  loginRoute,
  underKey(loginRoute, (call, once) => login(call.deps, call.tokens, call.body, attemptOf(call), once)),
);
