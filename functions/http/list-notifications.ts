/** GET /notifications: what the caller was told, newest first, and how much of it is unread. */
import { forCustomer } from '#keys/identify.ts';
import { listNotifications } from '#notification/list.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { listNotificationsRoute } from './notification.routes.ts';

export const handler = httpHandler(
  forCustomer(listNotificationsRoute),
  perCustomer('lookups-customer', ({ deps, caller, query, headers }) =>
    listNotifications(deps, caller.customerId, query, headers['accept-language']),
  ),
);
