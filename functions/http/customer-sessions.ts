/** The calls that end sessions: one function, as both need the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as endSessions } from './end-sessions.ts';
import * as identity from './identity.routes.ts';
import { handler as logout } from './logout.ts';

export const handler = severalRoutes([
  [identity.logoutRoute, logout],
  [identity.endSessionsRoute, endSessions],
]);
