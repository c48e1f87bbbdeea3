/** Authentication: the access token of a request, checked against what its route requires. */

import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import type { Deps } from '#platform/environment/deps.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { locate } from '#platform/kernel/registry.ts';
import { type Caller, openTokens, type Tokens } from '#platform/security/access-token.ts';
import { isAtLeast } from '#platform/security/roles.ts';
import type { DepsContext } from './dependencies.ts';
import { Refused } from './problem-details.ts';
import type { Route } from './route.ts';

interface AuthenticatedContext extends DepsContext {
  tokens: Tokens;
  caller: Caller;
}

/** The caller of a route without authentication. */
const anonymous: Caller = { customerId: '' as CustomerId, role: 'customer' };

/** Middleware: refuses callers who may not call the route, and puts the caller on the context. */
export function authentication({
  auth,
}: Pick<Route, 'auth'>): MiddlewareObj<APIGatewayProxyEventV2, unknown, Error, AuthenticatedContext> {
  return {
    before: async ({ event, context }) => {
      context.tokens = await sharedTokens(context.deps);
      context.caller = await callerOf(auth, context.tokens, event.headers.authorization);
      if (auth !== 'none' && auth !== 'optional' && !isAtLeast(context.caller.role, auth)) {
        throw new Refused('forbidden', `Your account must have the role ${auth} for this.`);
      }
    },
  };
}

async function callerOf(auth: Route['auth'], tokens: Tokens, authorization: string | undefined): Promise<Caller> {
  if (auth === 'none') return anonymous;
  const caller = await verified(tokens, authorization);
  if (caller) return caller;
  if (auth === 'optional') return anonymous;
  throw new Refused('unauthenticated', 'Send a valid access token as "Authorization: Bearer …".');
}

function verified(tokens: Tokens, authorization = ''): Promise<Caller | undefined> {
  // The name of a scheme is written in any case (RFC 9110, section 11.1).
  return tokens.verify(/^bearer /i.test(authorization) ? authorization.slice('Bearer '.length) : '');
}

/**
 * The verifier of this environment, and also the signer where the signing key is registered: in AWS only the functions
 * that issue tokens may read it.
 */
export function sharedTokens(deps: Deps): Promise<Tokens> {
  return deps.once(tokensOf);
}

function tokensOf({ registry, clock }: Deps): Promise<Tokens> {
  return openTokens(registry['secret/token-signing-key'] || locate(registry, 'token/verification-key'), clock);
}
