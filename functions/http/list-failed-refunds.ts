/** GET /ops/failed-refunds: refunds that the provider refused. */
import { byKey } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { readFailedRefunds } from '#purchase/read.ts';
import { listFailedRefundsRoute } from './purchase.routes.ts';

export const handler = httpHandler(byKey(listFailedRefundsRoute), ({ deps, query }) => readFailedRefunds(deps, query));
