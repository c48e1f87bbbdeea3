/** POST /ops/reconcile: begins to compare MySQL, ledger, mirror and gate. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { startReconciliation } from '#reconcile/reconciliation.ts';
import { reconcileNowRoute } from './operations.routes.ts';

export const handler = operatorHandler(
  byKey(reconcileNowRoute),
  ({ deps, body }, keep) => startReconciliation(deps, body, keep),
  { headersOf: ({ statusUrl }) => ({ location: statusUrl }) },
);
