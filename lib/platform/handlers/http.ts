/**
 * The HTTP wrapper: turns an API Gateway event into validated input, and the verb's result into a response.
 *
 * A handler names its route and one verb. Every invalid request is refused here with a 4xx and a code before the verb
 * runs; every failure on the server side is answered with a 5xx that reveals no internals. Each step is a middleware;
 * the chain below is the order in which they run.
 */
import { randomUUID } from 'node:crypto';
import middy from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import type * as z from 'zod';
import type { Deps } from '#platform/environment/deps.ts';
import type { Refusal } from '#platform/kernel/errors.ts';
import type { Caller, Tokens } from '#platform/security/access-token.ts';
import { authentication } from './authentication.ts';
import { correlated, dependencies } from './dependencies.ts';
import { type Input, validation } from './input.ts';
import { type Reply, requestMetrics, responseBody, responseHeaders } from './response.ts';
import type { Route } from './route.ts';

export { Reply, replayed, replayedHeader } from './response.ts';

/** The arguments of a verb: validated input, the caller and the dependencies. */
export interface Call<Params, Query, Body> extends Input<Params, Query, Body> {
  readonly deps: Deps;
  /** The caller; an empty id on a route without authentication. */
  readonly caller: Caller;
  readonly tokens: Tokens;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Who opened the connection, which may be the distribution in front of the API; `addressOf` says where a call came from. */
  readonly sourceIp: string;
}

/** The reply of a route; undefined if it declares none. */
type Answer<R extends z.ZodType> = [R] extends [z.ZodNever] ? undefined : z.input<R>;

type Verb<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType> = (
  call: Call<z.output<P>, z.output<Q>, z.output<B>>,
) => Promise<Answer<R> | Reply<Answer<R>> | Refusal>;

export type HttpHandler = (
  event: APIGatewayProxyEventV2,
  context: Context,
) => Promise<APIGatewayProxyStructuredResultV2>;

/** Wraps a verb as the handler of a route. */
export function httpHandler<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  route: Route<P, Q, B, R>,
  verb: Verb<P, Q, B, R>,
): HttpHandler {
  const chain = middy<APIGatewayProxyEventV2>()
    .use(requestMetrics(route))
    .use(responseHeaders())
    .use(responseBody(route))
    .use(dependencies<APIGatewayProxyEventV2>())
    .use(authentication(route))
    .use(validation(route))
    .handler((event, { deps, tokens, caller, input }) =>
      verb({ deps, tokens, caller, ...input, headers: event.headers, sourceIp: event.requestContext.http.sourceIp }),
    );
  return correlated(correlationIdOf, chain);
}

/** The caller's correlation id if it is safe to log, otherwise a new one. */
function correlationIdOf({ headers }: APIGatewayProxyEventV2): string {
  const given = headers['x-correlation-id'];
  return given !== undefined && /^[\w-]{8,64}$/.test(given) ? given : randomUUID();
}
