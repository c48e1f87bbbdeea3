/** What operators read in MySQL: one function, since all of it needs the same. */
import { severalRoutes } from '#platform/handlers/several.ts';
import { handler as getCancellation } from './get-cancellation.ts';
import { handler as getReconciliation } from './get-reconciliation.ts';
import { handler as getWebhookEndpoint } from './get-webhook-endpoint.ts';
import { handler as listActs } from './list-acts.ts';
import { handler as listDisputes } from './list-disputes.ts';
import { handler as listFailedRefunds } from './list-failed-refunds.ts';
import { handler as listReconciliations } from './list-reconciliations.ts';
import { handler as listWebhookEndpoints } from './list-webhook-endpoints.ts';
import * as operations from './operations.routes.ts';
import * as purchase from './purchase.routes.ts';
import * as webhooks from './webhooks.routes.ts';

export const handler = severalRoutes([
  [purchase.listFailedRefundsRoute, listFailedRefunds],
  [purchase.listDisputesRoute, listDisputes],
  [operations.getCancellationRoute, getCancellation],
  [operations.listReconciliationsRoute, listReconciliations],
  [operations.getReconciliationRoute, getReconciliation],
  [operations.listActsRoute, listActs],
  [webhooks.listWebhookEndpointsRoute, listWebhookEndpoints],
  [webhooks.getWebhookEndpointRoute, getWebhookEndpoint],
]);
