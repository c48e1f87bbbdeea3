/** POST /unsubscribe: notes that somebody wants no reminders by mail. */
import { unsubscribe } from '#notification/unsubscribe.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { perCaller } from '#platform/handlers/limits.ts';
import { unsubscribeRoute } from './notification.routes.ts';

export const handler = httpHandler(
  unsubscribeRoute,
  perCaller('codes-caller', ({ deps, query }) => unsubscribe(deps, query)),
);
