/** What operators look up and take with them: one function, since all of it needs the same. */
import { severalRoutes } from '#platform/handlers/several.ts';
import { handler as exportActs } from './export-acts.ts';
import { handler as exportList } from './export-list.ts';
import { handler as getStory } from './get-story.ts';
import { handler as getWebhookDelivery } from './get-webhook-delivery.ts';
import { handler as getWebhookRedelivery } from './get-webhook-redelivery.ts';
import { handler as listWebhookDeliveries } from './list-webhook-deliveries.ts';
import { handler as lookUpCustomers } from './look-up-customers.ts';
import { handler as lookUpPurchases } from './look-up-purchases.ts';
import { handler as lookUpReservations } from './look-up-reservations.ts';
import * as routes from './operations.routes.ts';
import * as webhooks from './webhooks.routes.ts';

export const handler = severalRoutes([
  [routes.lookUpReservationsRoute, lookUpReservations],
  [routes.lookUpPurchasesRoute, lookUpPurchases],
  [routes.lookUpCustomersRoute, lookUpCustomers],
  [routes.getStoryRoute, getStory],
  [routes.exportListRoute, exportList],
  [routes.exportActsRoute, exportActs],
  [webhooks.listWebhookDeliveriesRoute, listWebhookDeliveries],
  [webhooks.getWebhookDeliveryRoute, getWebhookDelivery],
  [webhooks.getWebhookRedeliveryRoute, getWebhookRedelivery],
]);
