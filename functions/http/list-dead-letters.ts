/** GET /ops/dead-letters: what queues gave up on, and why. */
import { byKey } from '#keys/identify.ts';
import { getDeadLetters } from '#operations/dead-letters.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { listDeadLettersRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(listDeadLettersRoute), ({ deps, query }) => getDeadLetters(deps, query));
