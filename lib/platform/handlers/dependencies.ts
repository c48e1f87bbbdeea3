/**
 * What all chains of middlewares begin with: the dependencies of this environment, and the correlation id under which
 * everything that a handler logs and publishes is found again.
 */
import type { MiddlewareObj, MiddyfiedHandler } from '@middy/core';
import type { Context } from 'aws-lambda';
import { type Deps, sharedDeps } from '#platform/environment/deps.ts';
import { withCorrelation } from '#platform/kernel/log.ts';

export interface DepsContext extends Context {
  deps: Deps;
}

/** Middleware: puts the dependencies on the context, opened by the first call of the environment. */
export function dependencies<Event>(): MiddlewareObj<Event, unknown, Error, DepsContext> {
  return {
    before: async ({ context }) => {
      context.deps = await sharedDeps();
    },
  };
}

/**
 * Runs a whole chain under a correlation id. Not a middleware: those run before and after a handler, and the id must be
 * in force around it and nowhere else.
 */
export function correlated<Event, Result, C extends Context, Internal extends Record<string, unknown>>(
  idOf: (event: Event, context: Context) => string,
  chain: MiddyfiedHandler<Event, Result, Error, C, Internal>,
): (event: Event, context: Context) => Promise<Result> {
  // Middy's type asks for what only Middy itself passes on, and for what its middlewares have yet to put on the context.
  const invoke = chain as unknown as (event: Event, context: Context) => Promise<Result>;
  return (event, context) => withCorrelation(idOf(event, context), () => invoke(event, context));
}
