/** PATCH /ops/labels/{kind}/{subjectId}: changes a reference and metadata. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { changeLabel } from '#operations/labels.ts';
import { updateLabelRoute } from './operations.routes.ts';

export const handler = operatorHandler(byKey(updateLabelRoute), ({ deps, params, body }, keep) =>
  changeLabel(deps, params, body, keep),
);
