/**
 * One function for several routes: an event goes to the handler of the route that the gateway names in it.
 *
 * For calls of operators that may do the same and are made seldom. They share a role, a log and warm environments, and the
 * template stays below the number of resources that CloudFormation takes. `test/contract/uses.test.ts` checks that no call
 * gains a permission by it.
 */
import type { HttpHandler } from './http.ts';
import type { Route } from './route.ts';

/** A handler of all these routes. Throws for an event of another route: then serverless.yml declares one too many. */
export function severalRoutes(
  served: readonly (readonly [Pick<Route, 'method' | 'path'>, HttpHandler])[],
): HttpHandler {
  const handlers = new Map(served.map(([{ method, path }, handler]) => [`${method} ${path}`, handler]));
  return async (event, context) => {
    const handler = handlers.get(event.routeKey);
    if (!handler) throw new Error(`this function does not serve ${event.routeKey}`);
    return handler(event, context);
  };
}
