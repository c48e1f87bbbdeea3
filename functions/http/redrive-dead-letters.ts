/** POST /ops/dead-letters/redrive: sends dead letters back to their queue. */
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { redrive } from '#operations/dead-letters.ts';
import { redriveDeadLettersRoute } from './operations.routes.ts';

export const handler = operatorHandler(byKey(redriveDeadLettersRoute), ({ deps, body }, keep) =>
  redrive(deps, body, keep),
);
