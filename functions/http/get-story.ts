/** GET /ops/customers/{customerId}: a customer’s whole story. */
import { readStory } from '#operations/story.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { getStoryRoute } from './operations.routes.ts';

export const handler = httpHandler(getStoryRoute, ({ deps, params, query }) =>
  readStory(deps, params.customerId, query),
);
