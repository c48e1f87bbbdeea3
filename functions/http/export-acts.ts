/** GET /ops/acts/export: the audit trail as CSV, in parts. */
import { actorOf } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { exportActs } from '#operations/export.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { exportActsRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(exportActsRoute), (call) =>
  exportActs(call.deps, actorOf(exportActsRoute, call), call.query),
);
