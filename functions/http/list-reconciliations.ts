/** GET /ops/reconciliations: the latest runs of reconcile. */
import { byKey } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { readReconciliations } from '#reconcile/reconciliation.ts';
import { listReconciliationsRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(listReconciliationsRoute), ({ deps }) => readReconciliations(deps));
