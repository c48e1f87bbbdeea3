/** GET /notifications: what the caller was told, newest first, and how much of it is unread. */
import { listNotifications } from '#notification/list.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCustomer } from '#platform/handlers/limits.ts';
import { listNotificationsRoute } from './notification.routes.ts';

export const handler = httpHandler(
  listNotificationsRoute,
  perCustomer('lookups-customer', ({ deps, caller, query, headers }) =>
    listNotifications(deps, caller.customerId, query, headers['accept-language']),
  ),
);
