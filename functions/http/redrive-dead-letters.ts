/** POST /ops/dead-letters/redrive: sends dead letters back to their queue. */
import { keptHandler } from '#answers/once.ts';
import { redrive } from '#operations/dead-letters.ts';
import { redriveDeadLettersRoute } from './operations.routes.ts';

export const handler = keptHandler(redriveDeadLettersRoute, ({ deps, body }, keep) => redrive(deps, body, keep));
