/** POST /unsubscribe: notes that somebody wants no reminders by mail. */
import { unsubscribe } from '#notification/unsubscribe.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { unsubscribeRoute } from './notification.routes.ts';

export const handler = httpHandler(unsubscribeRoute, ({ deps, query }) => unsubscribe(deps, query));
