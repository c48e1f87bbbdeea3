/** GET /ops/acts: the audit trail. */
import { readActs } from '#audit/act.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { listActsRoute } from './operations.routes.ts';

export const handler = httpHandler(listActsRoute, ({ deps, query }) => readActs(deps, query));
