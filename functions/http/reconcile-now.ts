/** POST /ops/reconcile: begins to compare MySQL, ledger, mirror and gate. */
import { keptHandler } from '#answers/once.ts';
import { startReconciliation } from '#reconcile/reconciliation.ts';
import { reconcileNowRoute } from './operations.routes.ts';

export const handler = keptHandler(
  reconcileNowRoute,
  ({ deps, body }, keep) => startReconciliation(deps, body, keep),
  ({ statusUrl }) => ({ location: statusUrl }),
);
