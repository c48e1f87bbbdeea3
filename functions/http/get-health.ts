/** GET /health: whether each part answers. */
import { getHealth } from '#operations/health.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { getHealthRoute } from './operations.routes.ts';

export const handler = httpHandler(getHealthRoute, ({ deps }) => getHealth(deps));
