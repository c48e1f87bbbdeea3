/**
 * What all middleware chains share: the dependencies of this environment, and the correlation id that everything a
 * handler logs and publishes carries.
 */
import type { MiddlewareObj, MiddyfiedHandler } from '@middy/core';
import type { Context } from 'aws-lambda';
import { type Deps, sharedDeps } from '#platform/environment/deps.ts';
import { withCorrelation } from '#platform/kernel/log.ts';

export interface DepsContext extends Context {
  deps: Deps;
}

/** Middleware: puts the dependencies on the context; the environment's first call opens them. */
export function dependencies<Event>(): MiddlewareObj<Event, unknown, Error, DepsContext> {
  return {
    before: async ({ context }) => {
      context.deps = await sharedDeps();
    },
  };
}

/**
 * Runs a whole chain with a correlation id. Not a middleware: those run before and after a handler, and the id must be
 * set around the handler.
 */
export function correlated<Event, Result, C extends Context, Internal extends Record<string, unknown>>(
  idOf: (event: Event, context: Context) => string,
  chain: MiddyfiedHandler<Event, Result, Error, C, Internal>,
): (event: Event, context: Context) => Promise<Result> {
  // Middy's type requires arguments that only Middy passes, and context fields that its middlewares have yet to set.
  const invoke = chain as unknown as (event: Event, context: Context) => Promise<Result>;
  return (event, context) => withCorrelation(idOf(event, context), () => invoke(event, context));
}
