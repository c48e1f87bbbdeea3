/** GET /ops/sales/{saleId}: a sale from the inside. */
import { byKey } from '#keys/identify.ts';
import { overviewOf } from '#operations/overview.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { getSaleOperationsRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(getSaleOperationsRoute), ({ deps, params }) =>
  overviewOf(deps, params.saleId),
);
