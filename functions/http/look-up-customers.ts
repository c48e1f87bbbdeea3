/** GET /ops/sales/{saleId}/customers: what operators find among them. */
import { byKey } from '#keys/identify.ts';
import { lookUpCustomers } from '#operations/look-up.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { lookUpCustomersRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(lookUpCustomersRoute), ({ deps, params, query }) =>
  lookUpCustomers(deps, params.saleId, query),
);
