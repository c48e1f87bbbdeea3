/** The calls that have codes mailed: one function, as both need the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as askForContactCode } from './ask-for-contact-code.ts';
import { handler as askForPasswordCode } from './ask-for-password-code.ts';
import * as identity from './identity.routes.ts';

export const handler = severalRoutes([
  [identity.askForPasswordCodeRoute, askForPasswordCode],
  [identity.askForContactCodeRoute, askForContactCode],
]);
