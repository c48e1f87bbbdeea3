/**
 * One function for several routes of the API, where all of them need the same: a template holds at most 500 resources, and
 * each function takes five besides its route. The gateway says which of its routes it chose.
 */
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import type { HttpHandler } from './http.ts';
import type { Route } from './route.ts';

/** A handler of several routes, which it names as `serverless.yml` does. */
export type SeveralRoutes = HttpHandler & { readonly serves: readonly string[] };

/** Hands each event to the handler of the route that the gateway chose. Throws for a route that is not among them. */
export function severalRoutes(
  handlers: readonly (readonly [Pick<Route, 'method' | 'path'>, HttpHandler])[],
): SeveralRoutes {
  const byKey = new Map(handlers.map(([{ method, path }, handler]) => [`${method} ${path}`, handler]));
  const handler = (event: APIGatewayProxyEventV2, context: Context) => {
    const chosen = byKey.get(event.routeKey);
    if (!chosen) throw new Error(`this function does not serve ${event.routeKey}`);
    return chosen(event, context);
  };
  return Object.assign(handler, { serves: [...byKey.keys()] });
}
