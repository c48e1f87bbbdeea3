/** GET /ops/sales/{saleId}/report: how a sale went so far. */
import { byKey } from '#keys/identify.ts';
import { readReport } from '#operations/report.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { getSaleReportRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(getSaleReportRoute), ({ deps, params, query }) =>
  readReport(deps, params.saleId, query),
);
