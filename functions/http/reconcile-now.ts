/** POST /ops/reconcile: holds MySQL, ledger, mirror and gate against each other now. */
import { reconcileNow } from '../../lib/inventory/reconcile.ts';
import { httpHandler } from '../../lib/platform/http.ts';
import { reconcileNowRoute } from './operations.routes.ts';

export const handler = httpHandler(reconcileNowRoute, ({ deps, body }) => reconcileNow(deps, body));
