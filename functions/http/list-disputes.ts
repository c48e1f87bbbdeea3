/** GET /ops/disputes: what the provider said and an operator must decide. */
import { byKey } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { readDisputes } from '#purchase/read.ts';
import { listDisputesRoute } from './purchase.routes.ts';

export const handler = httpHandler(byKey(listDisputesRoute), ({ deps, query }) => readDisputes(deps, query));
