/** POST /ops/dead-letters/redrive: sends dead letters back to their queue. */
import { idempotentHandler } from '#idempotency/kept-answer.ts';
import { redrive } from '#operations/dead-letters.ts';
import { redriveDeadLettersRoute } from './operations.routes.ts';

export const handler = idempotentHandler(redriveDeadLettersRoute, ({ deps, body }, keep) => redrive(deps, body, keep));
