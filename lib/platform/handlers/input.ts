/**
 * The input of a request: path, query, body and idempotency key, validated by the shapes of its route before the verb
 * runs. The first part that is invalid determines the answer.
 */
import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import type * as z from 'zod';
import { stated } from '#platform/kernel/shapes.ts';
import { hasNoBody, parseBody, readBody, refuseBody } from './body.ts';
import { Refused } from './problem-details.ts';
import type { Route } from './route.ts';

/** Printable ASCII, as an HTTP header field permits, and of bounded length: bare, or in quotes. */
export const idempotencyKeyPattern =
  /^(?:[\x21\x23-\x7e][\x21-\x7e]{0,254}|"(?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255}")$/;

/**
 * An external id in a header: 1 to 255 printable ASCII characters. No commas, with which a gateway joins headers that come twice,
 * and no blanks at either end, which it may cut off.
 */
export const externalIdPattern = /^[\x21-\x2b\x2d-\x7e](?:[\x20-\x2b\x2d-\x7e]{0,253}[\x21-\x2b\x2d-\x7e])?$/;

/** How many invalid fields an answer names, and how much of each message, so that an answer stays small. */
const fieldsNamed = 20;
const messageCharacters = 200;

export interface Input<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** The body as sent, for routes that verify a signature; empty if the route has no body. */
  readonly rawBody: string;
  /** Empty if the route takes none, or if it is optional and the caller sent none. */
  readonly idempotencyKey: string;
}

interface InputContext<Params, Query, Body> extends Context {
  input: Input<Params, Query, Body>;
}

/** Middleware: refuses invalid input, and puts valid input, typed, on the context. */
export function validation<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  route: Route<P, Q, B>,
): MiddlewareObj<APIGatewayProxyEventV2, unknown, Error, InputContext<z.output<P>, z.output<Q>, z.output<B>>> {
  return {
    before: ({ event, context }) => {
      const params = pathParameters(route.params, event.pathParameters ?? {});
      const broken: Refused[] = [];
      const query = check(route.query, event.queryStringParameters ?? {}, 'query', broken);
      const encoding = event.queryStringParameters?.encoding;
      const isMissing = route.bodyOptional === true && hasNoBody(event);
      const rawBody = (route.body && !isMissing) || route.raw ? readBody(route, event, encoding) : '';
      // An Idempotency-Key stands for all that a call asks for.
      if (route.idempotent && !route.body) refuseBody(event);
      const body = check(
        route.body,
        isMissing ? {} : route.body ? parseBody(route, rawBody) : undefined,
        'body',
        broken,
      );
      const key = event.headers['idempotency-key'];
      const takesKey = route.idempotent === 'optional' ? key !== undefined : route.idempotent;
      const idempotencyKey = takesKey ? readIdempotencyKey(key) : '';
      const [first] = broken;
      if (first) throw first;
      context.input = { params, query, body, rawBody, idempotencyKey };
    },
  };
}

/** A malformed id is answered like one that does not exist: 404. */
function pathParameters<Shape extends z.ZodType>(shape: Shape | undefined, given: object): z.output<Shape> {
  const result = shape?.safeParse(given);
  if (result && !result.success) throw new Refused('not_found', 'There is nothing at this address.');
  return result?.data as z.output<Shape>;
}

/** The key; quoted, as a string of structured fields (RFC 9651), and bare it is the same one. */
function readIdempotencyKey(given = ''): string {
  if (idempotencyKeyPattern.test(given)) {
    return given.startsWith('"') ? given.slice(1, -1).replace(/\\(.)/g, '$1') : given;
  }
  throw new Refused('idempotency_key_missing', 'Send an Idempotency-Key of 1 to 255 printable ASCII characters.');
}

/** Whether the input has the documented form, and breaks only rules that the documents state in words. */
function isWellFormed({ issues }: z.ZodError): boolean {
  return issues.every((issue) => issue.code === 'custom' && issue.params?.documented !== stated.documented);
}

/**
 * The parsed value; undefined if the route declares no shape for this part. Throws for what is malformed; what only breaks a rule
 * in words is added to `broken`, for the rest of the request is looked at first.
 */
function check<Shape extends z.ZodType>(
  shape: Shape | undefined,
  value: unknown,
  where: string,
  broken: Refused[],
): z.output<Shape> {
  const result = shape?.safeParse(value);
  if (!result || result.success) return result?.data as z.output<Shape>;
  const fields = result.error.issues.slice(0, fieldsNamed).map((issue) => ({
    field: issue.path.join('.').slice(0, messageCharacters),
    message: issue.message.slice(0, messageCharacters),
  }));
  const first = fields[0];
  const detail = `The ${where} is not valid: ${first?.field || where}: ${first?.message ?? ''}`;
  if (!isWellFormed(result.error)) throw new Refused('invalid_input', detail, { fields });
  broken.push(new Refused('unprocessable', detail, { fields }));
  return undefined as z.output<Shape>;
}
