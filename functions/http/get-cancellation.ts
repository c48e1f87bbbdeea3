/** GET /ops/sales/{saleId}/cancellation: how far cancelling a sale has come. */
import { byKey } from '#keys/identify.ts';
import { readCancellation } from '#launch/cancellation.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { getCancellationRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(getCancellationRoute), ({ deps, params }) =>
  readCancellation(deps, params.saleId),
);
