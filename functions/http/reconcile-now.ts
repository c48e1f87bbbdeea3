/** POST /ops/reconcile: compares MySQL, ledger, mirror and gate now. */

import { httpHandler } from '#platform/handlers/http.ts';
import { reconcileNow } from '#reconcile/reconcile.ts';
import { reconcileNowRoute } from './operations.routes.ts';

export const handler = httpHandler(reconcileNowRoute, ({ deps, body }) => reconcileNow(deps, body));
