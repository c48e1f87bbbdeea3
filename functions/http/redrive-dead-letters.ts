/** POST /ops/dead-letters/redrive: sends dead letters back to their queue. */
import { redrive } from '../../lib/operations/dead-letters.ts';
import { httpHandler } from '../../lib/platform/http.ts';
import { redriveDeadLettersRoute } from './operations.routes.ts';

export const handler = httpHandler(redriveDeadLettersRoute, ({ deps, body }) => redrive(deps, body));
