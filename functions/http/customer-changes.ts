/** What customers change of their own in MySQL alone: one function, as all of it needs the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import * as identity from './identity.routes.ts';
import * as notification from './notification.routes.ts';
import { handler as readNotifications } from './read-notifications.ts';
import { handler as updateMe } from './update-me.ts';

export const handler = severalRoutes([
  [identity.updateMeRoute, updateMe],
  [notification.readNotificationsRoute, readNotifications],
]);
