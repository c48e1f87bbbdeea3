/** POST /ops/reconcile: begins to compare MySQL, ledger, mirror and gate. */

import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { startReconciliation } from '#reconcile/reconciliation.ts';
import { reconcileNowRoute } from './operations.routes.ts';

export const handler = httpHandler(reconcileNowRoute, async ({ deps, body }) => {
  const run = await startReconciliation(deps, body);
  return isRefusal(run) ? run : new Reply(run, { location: run.statusUrl });
});
