/** Authentication: the access token or the API key of a request, checked against what its route requires. */

import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import type { Deps } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { locate } from '#platform/kernel/registry.ts';
import { type Caller, openTokens, type Tokens, type VerifiedCaller } from '#platform/security/access-token.ts';
import { isApiKey } from '#platform/security/api-key.ts';
import { customersSettingOf } from '#platform/security/issuers.ts';
import { issuerOf } from '#platform/security/outside-token.ts';
import { isAtLeast } from '#platform/security/roles.ts';
import type { DepsContext } from './dependencies.ts';
import { externalIdPattern } from './input.ts';
import { Refused } from './problem-details.ts';
import type { OutsideCaller, Route } from './route.ts';

interface AuthenticatedContext extends DepsContext {
  tokens: Tokens;
  caller: Caller;
}

/** The caller of a route without authentication. */
const anonymous: Caller = { customerId: '' as CustomerId, role: 'customer' };

/** The header in which an API key names the customer for whom it acts. */
export const customerHeader = 'holdfast-customer';

/** Why what came in it names nobody; undefined if it may name somebody. */
export function refuseCustomer(customer: string): Refusal | undefined {
  if (externalIdPattern.test(customer)) return undefined;
  const message = 'must be 1 to 255 printable ASCII characters without a comma';
  return refuse('invalid_input', `${customerHeader} ${message}.`, { fields: [{ field: customerHeader, message }] });
}

type Asked = Pick<Route, 'auth' | 'scope' | 'identify' | 'outsideCaller'>;

/** Middleware: refuses callers who may not call the route, and puts the caller on the context. */
export function authentication(
  route: Asked,
): MiddlewareObj<APIGatewayProxyEventV2, unknown, Error, AuthenticatedContext> {
  return {
    before: async ({ event, context }) => {
      context.tokens = await sharedTokens(context.deps);
      context.caller = await callerOf(route, context, event);
    },
  };
}

async function callerOf(
  { auth, scope, identify, outsideCaller }: Asked,
  { deps, tokens }: Pick<AuthenticatedContext, 'deps' | 'tokens'>,
  event: Pick<APIGatewayProxyEventV2, 'headers' | 'requestContext'>,
): Promise<Caller> {
  if (auth === 'none') return anonymous;
  const { headers } = event;
  const credentials = bearerOf(headers.authorization);
  if (auth !== 'optional' && isApiKey(credentials)) {
    if (!scope || !identify) throw new Refused('people_only', 'No API key may do this, whatever its scopes are.');
    const call = { key: credentials, customer: headers[customerHeader], event };
    const program = await identify(deps, call, scope);
    if (isRefusal(program)) throw new Refused(program.refused, program.detail, program.facts);
    return program;
  }
  const own = await tokens.verify(credentials);
  if (!own && auth === 'optional') return anonymous;
  const caller = own ?? (await fromOutside(deps, credentials, outsideCaller));
  if (isRefusal(caller)) throw new Refused(caller.refused, caller.detail, caller.facts);
  if (!caller) throw new Refused('unauthenticated', 'Send a valid access token as "Authorization: Bearer …".');
  if (auth !== 'optional' && !isAtLeast(caller.role, auth)) {
    throw new Refused('forbidden', `Your account must have the role ${auth} for this.`);
  }
  // A token says itself who calls. What comes beside it must be what the document allows nevertheless.
  const named = scope === 'customers:act' ? headers[customerHeader] : undefined;
  const malformed = named === undefined ? undefined : refuseCustomer(named);
  if (malformed) throw new Refused(malformed.refused, malformed.detail, malformed.facts);
  return caller;
}

/** Who calls with a token that is none of ours. */
async function fromOutside(
  deps: Deps,
  token: string,
  outsideCaller: OutsideCaller | undefined,
): Promise<VerifiedCaller | Refusal | undefined> {
  if (outsideCaller) return outsideCaller(deps, token);
  // It is not checked here, so all that is told is what holds for every token of this issuer.
  if (!issuerOf(deps.once(customersSettingOf).issuers, token)) return undefined;
  return refuse('own_account_needed', 'A token of another issuer is for what customers do, and not for this.');
}

/** Says whose token it is, one of ours or of another issuer. */
export type Verify = (token: string) => Promise<VerifiedCaller | Refusal | undefined>;

/** The check of tokens where those of other issuers count too. */
export async function openVerify(deps: Deps, outsideCaller: OutsideCaller): Promise<Verify> {
  const tokens = await sharedTokens(deps);
  return async (token) => (await tokens.verify(token)) ?? outsideCaller(deps, token);
}

/** What comes as a bearer token. The name of a scheme is written in any case, with a space or several after it (RFC 9110, section 11). */
function bearerOf(authorization = ''): string {
  return /^bearer +(.+)$/i.exec(authorization)?.[1] ?? '';
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
