/** POST /auth/register: opens a customer's account. */
import { register } from '#identity/register.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { registerRoute } from './identity.routes.ts';

export const handler = httpHandler(registerRoute, ({ deps, body, sourceIp }) => register(deps, body, sourceIp));
