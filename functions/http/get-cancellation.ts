/** GET /ops/sales/{saleId}/cancellation: how far cancelling a sale has come. */
import { readCancellation } from '#launch/cancellation.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { getCancellationRoute } from './operations.routes.ts';

export const handler = httpHandler(getCancellationRoute, ({ deps, params }) => readCancellation(deps, params.saleId));
