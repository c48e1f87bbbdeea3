/** GET /ops/operators: who has which role. */
import { readOperators } from '#identity/operators.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { listOperatorsRoute } from './identity.routes.ts';

export const handler = httpHandler(listOperatorsRoute, ({ deps, query }) => readOperators(deps, query));
