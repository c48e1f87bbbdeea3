/** POST /notifications/read: marks some or all of the caller's notifications as read. */
import { readNotifications } from '../../lib/notification/list.ts';
import { httpHandler } from '../../lib/platform/http.ts';
import { readNotificationsRoute } from './notification.routes.ts';

export const handler = httpHandler(readNotificationsRoute, ({ deps, caller, body }) =>
  readNotifications(deps.db, caller.customerId, body.notificationIds, deps.clock()),
);
