/** POST /ops/dead-letters/redrive: sends dead letters back to their queue. */
import { redrive } from '#operations/dead-letters.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { redriveDeadLettersRoute } from './operations.routes.ts';

export const handler = httpHandler(redriveDeadLettersRoute, ({ deps, body }) => redrive(deps, body));
