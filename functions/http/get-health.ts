/** GET /health: whether each part answers. */
import { getHealth } from '../../lib/operations/health.ts';
import { httpHandler } from '../../lib/platform/http.ts';
import { getHealthRoute } from './operations.routes.ts';

export const handler = httpHandler(getHealthRoute, ({ deps }) => getHealth(deps));
