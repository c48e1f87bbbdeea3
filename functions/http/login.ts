/** POST /auth/login: signs in with e-mail and password. */
import { login } from '#identity/session.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { attemptOf } from '#platform/handlers/limits.ts';
import { loginRoute } from './identity.routes.ts';

export const handler = httpHandler(loginRoute, (call) => login(call.deps, call.tokens, call.body, attemptOf(call)));
