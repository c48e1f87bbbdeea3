/**
 * A route: one operation of the API, declared once. The wrapper validates requests with it, the OpenAPI document is made
 * from it, and the contract test checks it against `serverless.yml`.
 */
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import type * as z from 'zod';
import type { Deps } from '#platform/environment/deps.ts';
import type { Code, Refusal } from '#platform/kernel/errors.ts';
import type { Caller, VerifiedCaller } from '#platform/security/access-token.ts';
import type { Role } from '#platform/security/roles.ts';
import type { Scope } from '#platform/security/scopes.ts';

/** What came with a call that an API key makes. */
export interface KeyCall {
  /** The key, as it was sent. */
  readonly key: string;
  /** The external id of the customer for whom it acts, as it was sent. */
  readonly customer: string | undefined;
  /** The call itself, which tells where it came from. */
  readonly event: Pick<APIGatewayProxyEventV2, 'headers' | 'requestContext'>;
}

/** Says who calls with an API key that needs this scope, or refuses. */
export type Identify = (deps: Deps, call: KeyCall, scope: Scope) => Promise<Caller | Refusal>;

/** Says who calls with a token of another issuer, or refuses. Undefined if no configured issuer made it. */
export type OutsideCaller = (deps: Deps, token: string) => Promise<VerifiedCaller | Refusal | undefined>;

export interface Route<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
  Reply extends z.ZodType = z.ZodType,
> {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** With parameters in braces, as API Gateway writes them. */
  readonly path: string;
  readonly summary: string;
  /** More than the summary, where there is more to say. */
  readonly description?: string;
  readonly tag: string;
  /**
   * Who may call: anyone, or a signed-in caller with at least this role. `optional` is for anyone, and tells who calls if
   * a valid token came along.
   */
  readonly auth: 'none' | 'optional' | Role;
  /** What an API key must be allowed to call as well. Without it, a route that wants a role is for people only. */
  readonly scope?: Scope;
  /** Who calls with an API key. The handler adds it to its route, so that no other bundle has what it takes. */
  readonly identify?: Identify;
  /** Who calls with an access token of another issuer. The handler adds it to its route as well. */
  readonly outsideCaller?: OutsideCaller;
  /** Whether customers with a token of another issuer may call it, although no API key may. */
  readonly outside?: true;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  /** Whether the body may be missing; then it is read as an empty object. */
  readonly bodyOptional?: boolean;
  /** An example of the body, for the document and for trying the call from the API reference. */
  readonly example?: z.input<Body>;
  /** The media type of the body; JSON by default. A body of another type arrives as text. */
  readonly bodyType?: 'application/json' | 'text/csv';
  /**
   * Whether a body of text may also come as bytes (`application/octet-stream`), in UTF-16 or in the query's
   * `encoding`. A gateway passes text on in UTF-8 only.
   */
  readonly mayBeBytes?: boolean;
  /**
   * Decodes CP949, for a route that takes bytes. The handler adds it to its route, so that no other bundle has the tables.
   */
  readonly decodeCp949?: (bytes: Buffer) => string;
  readonly maxBodyBytes?: number;
  /** Whether the body's exact bytes and all headers are passed on, to verify signatures. */
  readonly raw?: boolean;
  /** What a program that signs its messages sends to a raw route, for the document: the verb reads it after the signature. */
  readonly sends?: z.ZodType;
  /**
   * Whether the call needs an Idempotency-Key. Where it is optional, a call with one is carried out once and its answer
   * is kept, and a call without one is a new one each time.
   */
  readonly idempotent?: boolean | 'optional';
  /** Whether its request or its answer may hold a secret: then its answer is kept sealed, and its request known by an HMAC. */
  readonly sealed?: true;
  /** For how many minutes an answer is kept, if not for a day: one with tokens no longer than they are of use. */
  readonly keptMinutes?: number;
  /** What a key does here, if that is not what it does elsewhere. */
  readonly keysAre?: string;
  /** What a repeated call does, for one that changes something and takes no key. */
  readonly repeated?: string;
  /** Whether a proof of work lets the call pass beyond the free rate of an address. */
  readonly takesProof?: boolean;
  /** The status of success and the shape of its body. */
  readonly status: number;
  readonly reply?: Reply;
  /** Headers of a success that a client goes on with, besides those of every answer. */
  readonly replyHeaders?: Readonly<Record<string, z.ZodType>>;
  /** The media type of the reply; JSON by default. */
  readonly replyType?: string;
  /** The route's own refusals, beyond those that follow from its declaration. */
  readonly refusals: readonly Code[];
}

/** Declares a route, keeping the types of its shapes. */
export function defineRoute<
  Params extends z.ZodType = z.ZodNever,
  Query extends z.ZodType = z.ZodNever,
  Body extends z.ZodType = z.ZodNever,
  Reply extends z.ZodType = z.ZodNever,
>(route: Route<Params, Query, Body, Reply>): Route<Params, Query, Body, Reply> {
  return route;
}

/** Whether customers with a token of another issuer may call a route: wherever programs may act for customers, and where it says so. */
export function takesOutside({ scope, outside }: Pick<Route, 'scope' | 'outside'>): boolean {
  return outside === true || scope === 'customers:act';
}
