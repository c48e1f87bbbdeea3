/** POST /ops/customers/{customerId}/external-id: says how the shop's own system knows a customer. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { setExternalId } from '#identity/external-id.ts';
import { byKey } from '#keys/identify.ts';
import { setExternalIdRoute } from './identity.routes.ts';

export const handler = operatorHandler(byKey(setExternalIdRoute), ({ deps, params, body }, keep) =>
  setExternalId(deps, params.customerId, body, keep),
);
