/** GET /ops/acts: the audit trail. */
import { readActs } from '#audit/act.ts';
import { byKey } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { listActsRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(listActsRoute), ({ deps, query }) => readActs(deps, query));
