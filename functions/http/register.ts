/** POST /auth/register: opens a customer's account and signs in to it. */
import { underKey } from '#idempotency/once.ts';
import { register } from '#identity/register.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { attemptOf } from '#platform/handlers/limits.ts';
import { registerRoute } from './identity.routes.ts';

export const handler = httpHandler(
  registerRoute,
  underKey(registerRoute, (call, once) => register(call.deps, call.tokens, call.body, attemptOf(call), once)),
);
