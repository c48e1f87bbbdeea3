/** What operators look up, take with them and keep in MySQL alone: one function, since all of it needs the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import * as catalog from './catalog.routes.ts';
import { handler as createProduct } from './create-product.ts';
import { handler as deleteWebhookEndpoint } from './delete-webhook-endpoint.ts';
import { handler as exportActs } from './export-acts.ts';
import { handler as exportList } from './export-list.ts';
import { handler as getCancellation } from './get-cancellation.ts';
import { handler as getReconciliation } from './get-reconciliation.ts';
import { handler as getSaleReport } from './get-sale-report.ts';
import { handler as getStory } from './get-story.ts';
import { handler as getWebhookDelivery } from './get-webhook-delivery.ts';
import { handler as getWebhookEndpoint } from './get-webhook-endpoint.ts';
import { handler as getWebhookRedelivery } from './get-webhook-redelivery.ts';
import { handler as importProducts } from './import-products.ts';
import { handler as listActs } from './list-acts.ts';
import { handler as listDisputes } from './list-disputes.ts';
import { handler as listEverySale } from './list-every-sale.ts';
import { handler as listFailedRefunds } from './list-failed-refunds.ts';
import { handler as listLabels } from './list-labels.ts';
import { handler as listReconciliations } from './list-reconciliations.ts';
import { handler as listWebhookDeliveries } from './list-webhook-deliveries.ts';
import { handler as listWebhookEndpoints } from './list-webhook-endpoints.ts';
import { handler as lookUpCustomers } from './look-up-customers.ts';
import { handler as lookUpPurchases } from './look-up-purchases.ts';
import { handler as lookUpReservations } from './look-up-reservations.ts';
import * as operations from './operations.routes.ts';
import * as purchase from './purchase.routes.ts';
import * as sale from './sale.routes.ts';
import { handler as updateLabel } from './update-label.ts';
import { handler as updateProduct } from './update-product.ts';
import { handler as updateWebhookEndpoint } from './update-webhook-endpoint.ts';
import * as webhooks from './webhooks.routes.ts';

export const handler = severalRoutes([
  [catalog.createProductRoute, createProduct],
  [catalog.updateProductRoute, updateProduct],
  [catalog.importProductsRoute, importProducts],
  [sale.listEverySaleRoute, listEverySale],
  [purchase.listFailedRefundsRoute, listFailedRefunds],
  [purchase.listDisputesRoute, listDisputes],
  [operations.getCancellationRoute, getCancellation],
  [operations.getSaleReportRoute, getSaleReport],
  [operations.listReconciliationsRoute, listReconciliations],
  [operations.getReconciliationRoute, getReconciliation],
  [operations.listActsRoute, listActs],
  [operations.listLabelsRoute, listLabels],
  [operations.updateLabelRoute, updateLabel],
  [operations.lookUpReservationsRoute, lookUpReservations],
  [operations.lookUpPurchasesRoute, lookUpPurchases],
  [operations.lookUpCustomersRoute, lookUpCustomers],
  [operations.getStoryRoute, getStory],
  [operations.exportListRoute, exportList],
  [operations.exportActsRoute, exportActs],
  [webhooks.listWebhookEndpointsRoute, listWebhookEndpoints],
  [webhooks.getWebhookEndpointRoute, getWebhookEndpoint],
  [webhooks.updateWebhookEndpointRoute, updateWebhookEndpoint],
  [webhooks.deleteWebhookEndpointRoute, deleteWebhookEndpoint],
  [webhooks.listWebhookDeliveriesRoute, listWebhookDeliveries],
  [webhooks.getWebhookDeliveryRoute, getWebhookDelivery],
  [webhooks.getWebhookRedeliveryRoute, getWebhookRedelivery],
]);
