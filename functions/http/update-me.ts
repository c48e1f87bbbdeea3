/** PATCH /me: in which language and time zone the caller wants to be told things. */
import { changeMe } from '#identity/session.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { updateMeRoute } from './identity.routes.ts';

export const handler = httpHandler(updateMeRoute, ({ deps, caller, body }) => changeMe(deps, caller.customerId, body));
