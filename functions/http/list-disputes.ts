/** GET /ops/disputes: what the provider said and an operator must decide. */
import { httpHandler } from '#platform/handlers/http.ts';
import { readDisputes } from '#purchase/read.ts';
import { listDisputesRoute } from './purchase.routes.ts';

export const handler = httpHandler(listDisputesRoute, ({ deps, query }) => readDisputes(deps, query));
