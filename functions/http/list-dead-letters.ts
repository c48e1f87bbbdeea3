/** GET /ops/dead-letters: what queues gave up on, and why. */
import { getDeadLetters } from '#operations/dead-letters.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { listDeadLettersRoute } from './operations.routes.ts';

export const handler = httpHandler(listDeadLettersRoute, ({ deps, query }) => getDeadLetters(deps, query));
