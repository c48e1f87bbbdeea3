/** What customers read of their own in MySQL: one function, as all of it needs the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as getMe } from './get-me.ts';
import { handler as getPurchase } from './get-purchase.ts';
import * as identity from './identity.routes.ts';
import { handler as listNotifications } from './list-notifications.ts';
import { handler as listPurchases } from './list-purchases.ts';
import { handler as listSessions } from './list-sessions.ts';
import * as notification from './notification.routes.ts';
import * as purchase from './purchase.routes.ts';

export const handler = severalRoutes([
  [identity.getMeRoute, getMe],
  [identity.listSessionsRoute, listSessions],
  [purchase.listPurchasesRoute, listPurchases],
  [purchase.getPurchaseRoute, getPurchase],
  [notification.listNotificationsRoute, listNotifications],
]);
