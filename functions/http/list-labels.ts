/** GET /ops/labels: references and metadata, by a reference or by what they are on. */
import { byKey } from '#keys/identify.ts';
import { readLabelPage } from '#operations/labels.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { listLabelsRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(listLabelsRoute), ({ deps, query }) => readLabelPage(deps, query));
