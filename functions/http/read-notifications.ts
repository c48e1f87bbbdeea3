/** POST /notifications/read: marks some or all of the caller's notifications as read. */
import { underKey } from '#idempotency/once.ts';
import { forCustomer } from '#keys/identify.ts';
import { readNotifications } from '#notification/list.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { readNotificationsRoute } from './notification.routes.ts';

export const handler = httpHandler(
  forCustomer(readNotificationsRoute),
  perCustomer(
    'changes-customer',
    underKey(readNotificationsRoute, ({ deps, caller, body }, once) =>
      readNotifications(deps, caller.customerId, body.notificationIds, once),
    ),
  ),
);
