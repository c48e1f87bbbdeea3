/** GET /ops/sales/{saleId}/exports/{list}: a list as CSV, in parts. */
import { actorOf } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { exportList } from '#operations/export.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { exportListRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(exportListRoute), (call) =>
  exportList(call.deps, actorOf(exportListRoute, call), call.params.saleId, call.params.list, call.query),
);
