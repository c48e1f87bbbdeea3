/** GET /unsubscribe: the page on which somebody says that they want no reminders by mail. */
import { unsubscribePage } from '#notification/unsubscribe.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { getUnsubscribeRoute } from './notification.routes.ts';

export const handler = httpHandler(getUnsubscribeRoute, ({ deps, query }) => unsubscribePage(deps, query));
