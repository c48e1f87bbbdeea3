/** GET /health: whether each part answers, and for operators how much waits. */
import { getHealth } from '#operations/health.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { getHealthRoute } from './operations.routes.ts';

export const handler = httpHandler(getHealthRoute, ({ deps, caller }) => getHealth(deps, caller));
