/** DELETE /me/sessions: ends one of the caller's sessions, or all but this one, and their WebSocket connections. */
import { endSessions } from '#identity/session.ts';
import { endSession } from '#notification/connections.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCaller } from '#platform/handlers/limits.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { endSessionsRoute } from './identity.routes.ts';

export const handler = httpHandler(
  endSessionsRoute,
  perCaller('session-address', async ({ deps, caller, query }) => {
    const ended = await endSessions(deps, caller, query.sessionId);
    if (isRefusal(ended)) return ended;
    for (const session of ended) await endSession(deps, session);
    return undefined;
  }),
);
