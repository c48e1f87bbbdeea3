/** GET /ops/customers/{customerId}: a customer’s whole story. */
import { byKey } from '#keys/identify.ts';
import { readStory } from '#operations/story.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { getStoryRoute } from './operations.routes.ts';

export const handler = httpHandler(byKey(getStoryRoute), ({ deps, params, query }) =>
  readStory(deps, params.customerId, query),
);
