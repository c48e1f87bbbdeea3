/** GET /ops/sales: all sales, drafts and private ones too. */
import { byKey } from '#keys/identify.ts';
import { listEverySale } from '#launch/read-sale.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { listEverySaleRoute } from './sale.routes.ts';

export const handler = httpHandler(byKey(listEverySaleRoute), ({ deps, query }) => listEverySale(deps, query));
