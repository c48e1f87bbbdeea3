/** GET /ops/reconciliations/{reconciliationId}: how far a run of reconcile has come, and what it found. */
import { byKey } from '#keys/identify.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { readReconciliation } from '#reconcile/reconciliation.ts';
import { getReconciliationRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(getReconciliationRoute), ({ deps, params }) =>
  readReconciliation(deps, params.reconciliationId),
);
