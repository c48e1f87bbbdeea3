/** The calls that ask for a password or set one: one function, as all of them need the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as changePassword } from './change-password.ts';
import { handler as deleteAccount } from './delete-account.ts';
import * as identity from './identity.routes.ts';
import { handler as resetPassword } from './reset-password.ts';

export const handler = severalRoutes([
  [identity.resetPasswordRoute, resetPassword],
  [identity.changePasswordRoute, changePassword],
  [identity.deleteAccountRoute, deleteAccount],
]);
