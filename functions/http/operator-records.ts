/** What operators read in MySQL alone: one function, as all of it may do the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as getCancellation } from './get-cancellation.ts';
import { handler as getReconciliation } from './get-reconciliation.ts';
import { handler as listDisputes } from './list-disputes.ts';
import { handler as listFailedRefunds } from './list-failed-refunds.ts';
import { handler as listReconciliations } from './list-reconciliations.ts';
import * as operations from './operations.routes.ts';
import * as purchase from './purchase.routes.ts';

export const handler = severalRoutes([
  [purchase.listFailedRefundsRoute, listFailedRefunds],
  [purchase.listDisputesRoute, listDisputes],
  [operations.getCancellationRoute, getCancellation],
  [operations.listReconciliationsRoute, listReconciliations],
  [operations.getReconciliationRoute, getReconciliation],
]);
