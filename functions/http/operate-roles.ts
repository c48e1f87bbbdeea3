/** Who runs sales: one function, since both calls need the same. */
import { severalRoutes } from '#platform/handlers/several.ts';
import * as routes from './identity.routes.ts';
import { handler as listOperators } from './list-operators.ts';
import { handler as setRole } from './set-role.ts';

export const handler = severalRoutes([
  [routes.listOperatorsRoute, listOperators],
  [routes.setRoleRoute, setRole],
]);
