/** The calls that answer a mail: one function, as all of them need the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as getUnsubscribe } from './get-unsubscribe.ts';
import * as identity from './identity.routes.ts';
import * as notification from './notification.routes.ts';
import { handler as unsubscribe } from './unsubscribe.ts';
import { handler as verifyContact } from './verify-contact.ts';

export const handler = severalRoutes([
  [identity.verifyContactRoute, verifyContact],
  [notification.getUnsubscribeRoute, getUnsubscribe],
  [notification.unsubscribeRoute, unsubscribe],
]);
