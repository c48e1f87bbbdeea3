/** POST /ops/operators: an admin gives an account a role. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { setRole } from '#identity/operators.ts';
import { setRoleRoute } from './identity.routes.ts';

export const handler = operatorHandler(setRoleRoute, ({ deps, body }, keep) => setRole(deps, body, keep));
