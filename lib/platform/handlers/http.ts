/**
 * The HTTP wrapper: turns an API Gateway event into checked input, and what a verb returns into a response.
 *
 * A handler names its route and one verb. Everything a stranger can get wrong is refused here with a 4xx and a code
 * before the verb runs; whatever goes wrong on our side leaves as a 5xx that says nothing about the inside.
 */
import { randomUUID } from 'node:crypto';
import middy from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import type { z } from 'zod';
import { type Deps, depsAtHand, sharedDeps } from '#platform/environment/deps.ts';
import { type Code, codes, Fault, isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { log, withCorrelation } from '#platform/kernel/log.ts';
import { listens, measure } from '#platform/kernel/metrics.ts';
import { locate } from '#platform/kernel/registry.ts';
import { type Caller, openTokens, type Tokens } from '#platform/security/access-token.ts';
import { InvalidJson, parseJson } from './json.ts';
import type { Route } from './route.ts';

/** The largest JSON body that is read. */
export const maxJsonBytes = 16_384;
/** How many wrong fields an answer names, and how much of each message, so that an answer stays small. */
const fieldsNamed = 20;
const messageCharacters = 200;

/** What a handler is given: checked input, the caller and the dependencies. */
export interface Call<Params, Query, Body> {
  readonly deps: Deps;
  /** Present unless the route is open to everyone. */
  readonly caller: Caller;
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** Present where the route asks for it, otherwise empty. */
  readonly idempotencyKey: string;
  /** For routes that check a signature: the body as sent, and the headers in lower case. */
  readonly rawBody: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly sourceIp: string;
  readonly correlationId: string;
  readonly tokens: Tokens;
}

/** A success with headers of its own. A verb's plain value is answered with the route's status. */
export class Reply<Body> {
  readonly body: Body;
  readonly headers: Record<string, string>;

  constructor(body: Body, headers: Record<string, string>) {
    this.body = body;
    this.headers = headers;
  }
}

/** What a route answers; nothing, if it declares no reply. */
type Answer<R extends z.ZodType> = [R] extends [z.ZodNever] ? undefined : z.input<R>;

type Run<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType> = (
  call: Call<z.output<P>, z.output<Q>, z.output<B>>,
) => Promise<Answer<R> | Reply<Answer<R>> | Refusal>;

export type HttpHandler = (
  event: APIGatewayProxyEventV2,
  context: Context,
) => Promise<APIGatewayProxyStructuredResultV2>;

/**
 * The body of an answer that is at hand, as JSON; undefined if it has to be looked up. Is given the path's parameters as
 * they came, unchecked, and must not fail.
 */
export type AtHand = (deps: Deps, params: Readonly<Record<string, string | undefined>>) => string | undefined;

/**
 * Wraps a verb as the handler of a route. What everybody asks for again and again may be `atHand`: it is answered at once
 * and costs next to nothing, whatever else is under way. Only for routes that are open to everyone.
 */
export function httpHandler<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  route: Route<P, Q, B, R>,
  run: Run<P, Q, B, R>,
  atHand?: AtHand,
): HttpHandler {
  const longWay = middy<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>().handler(async (event) => {
    const correlationId = acceptableCorrelationId(event.headers['x-correlation-id']) ?? randomUUID();
    const response = await withCorrelation(correlationId, async () => {
      const startedAt = performance.now();
      const answered = await answer(route, run, event, correlationId);
      if (listens) measureRequest(route, answered.statusCode ?? 0, performance.now() - startedAt);
      return answered;
    });
    response.headers = Object.assign(commonHeaders(correlationId), response.headers);
    return response;
  }) as unknown as HttpHandler;
  if (!atHand || route.auth !== 'none') return longWay;
  return (event, context) => {
    const answered = answerAtHand(route, event, atHand);
    return answered ? Promise.resolve(answered) : longWay(event, context);
  };
}

function answerAtHand(
  route: Route,
  event: APIGatewayProxyEventV2,
  atHand: AtHand,
): APIGatewayProxyStructuredResultV2 | undefined {
  const deps = depsAtHand();
  const body = deps && event.pathParameters ? atHand(deps, event.pathParameters) : undefined;
  if (body === undefined) return undefined;
  const id = acceptableCorrelationId(event.headers['x-correlation-id']) ?? randomUUID();
  if (listens) withCorrelation(id, () => measureRequest(route, route.status, 0));
  const headers = commonHeaders(id);
  headers['content-type'] = 'application/json';
  return { statusCode: route.status, headers, body };
}

function measureRequest(route: Route, status: number, durationMs: number): void {
  const values = {
    Requests: 1,
    Refusals: status >= 400 && status < 500 ? 1 : 0,
    RequestFaults: status >= 500 ? 1 : 0,
    RequestMs: Math.round(durationMs),
  };
  measure(values, { facts: { route: `${route.method} ${route.path}`, status } });
}

/** What every answer carries, written out anew: that costs a fraction of copying an object. */
function commonHeaders(correlationId: string): Record<string, string> {
  return {
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'strict-transport-security': 'max-age=63072000; includeSubDomains',
    'x-correlation-id': correlationId,
  };
}

async function answer<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  route: Route<P, Q, B, R>,
  run: Run<P, Q, B, R>,
  event: APIGatewayProxyEventV2,
  correlationId: string,
): Promise<APIGatewayProxyStructuredResultV2> {
  try {
    const deps = depsAtHand() ?? (await sharedDeps());
    const call = await admit(route, event, deps, correlationId);
    if (isRefusal(call)) return problem(call, event);
    const result = await run(call);
    if (isRefusal(result)) return problem(result, event);
    const { body, headers } = result instanceof Reply ? result : { body: result, headers: {} };
    return success(route, body, headers);
  } catch (error) {
    const fault = error instanceof Fault ? error : undefined;
    log.error('request failed', { route: `${route.method} ${route.path}`, error });
    const code: Code = fault?.code ?? (isStoreError(error) ? 'store_unavailable' : 'internal');
    return problem(refuse(code, 'Nothing was lost: repeat the request.'), event, fault?.retryAfterSeconds ?? 1);
  }
}

/** Checks everything about a request that does not need the verb. */
async function admit<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  route: Route<P, Q, B, R>,
  event: APIGatewayProxyEventV2,
  deps: Deps,
  correlationId: string,
): Promise<Call<z.output<P>, z.output<Q>, z.output<B>> | Refusal> {
  const tokens = await sharedTokens(deps);
  let caller: Caller | undefined;
  if (route.auth !== 'none') {
    caller = await tokens.verify(bearerToken(event.headers.authorization));
    if (!caller) return refuse('unauthenticated', 'Send a valid access token as "Authorization: Bearer …".');
    if (route.auth === 'operator' && caller.role !== 'operator')
      return refuse('forbidden', 'Only operators may do that.');
  }

  const params = check(route.params, event.pathParameters ?? {}, 'path');
  // An id that cannot exist and one that does not are the same to a caller.
  if (isRefusal(params)) return refuse('not_found', 'There is nothing at this address.');
  const query = check(route.query, event.queryStringParameters ?? {}, 'query');
  if (isRefusal(query)) return query;

  const rawBody = route.body || route.raw ? readBody(route, event) : '';
  if (isRefusal(rawBody)) return rawBody;
  const body = route.body ? parseBody(route, route.body, rawBody) : absent;
  if (isRefusal(body)) return body;

  let idempotencyKey = '';
  if (route.idempotent) {
    idempotencyKey = event.headers['idempotency-key'] ?? '';
    // Printable ASCII, as an HTTP header field may carry it, and short enough to be stored.
    if (!/^[\x21-\x7e]{1,255}$/.test(idempotencyKey)) {
      return refuse('idempotency_key_missing', 'Send an Idempotency-Key of 1 to 255 printable ASCII characters.');
    }
  }

  return {
    deps,
    caller: caller ?? { customerId: '', role: 'customer' },
    params: params.value as z.output<P>,
    query: query.value as z.output<Q>,
    body: body.value as z.output<B>,
    idempotencyKey,
    rawBody,
    headers: event.headers,
    sourceIp: event.requestContext.http.sourceIp,
    correlationId,
    tokens,
  };
}

/** Checked input, wrapped so that nothing a client sends can be mistaken for a refusal. */
interface Checked {
  value: unknown;
}

const absent: Checked = { value: undefined };

function check(shape: z.ZodType | undefined, value: unknown, where: string): Checked | Refusal {
  if (!shape) return absent;
  const result = shape.safeParse(value);
  if (result.success) return { value: result.data };
  const fields = result.error.issues.slice(0, fieldsNamed).map((issue) => ({
    field: issue.path.join('.').slice(0, messageCharacters),
    message: issue.message.slice(0, messageCharacters),
  }));
  const first = fields[0];
  return refuse('invalid_input', `The ${where} is not valid: ${first?.field || where}: ${first?.message ?? ''}`, {
    fields,
  });
}

/** The body as text, or why it cannot be read. Its size is judged before anything is decoded. */
function readBody(route: Route, event: APIGatewayProxyEventV2): string | Refusal {
  const limit = route.maxBodyBytes ?? maxJsonBytes;
  const tooLarge = () => refuse('payload_too_large', `The body may have at most ${limit} bytes.`);
  const sent = event.body ?? '';
  if (sent.length > (event.isBase64Encoded ? Math.ceil(limit / 3) * 4 : limit)) return tooLarge();
  const wanted = route.bodyType ?? 'application/json';
  if (!isMediaType(event.headers['content-type'], wanted)) {
    return refuse('unsupported_media_type', `Send the body as ${wanted} in UTF-8.`);
  }
  if ((event.headers['content-encoding'] ?? 'identity') !== 'identity') {
    return refuse('unsupported_media_type', 'Send the body without a content encoding.');
  }
  const body = event.isBase64Encoded ? decodeUtf8(Buffer.from(sent, 'base64')) : sent;
  // A gateway that hands on text has put U+FFFD in the place of every byte that is not UTF-8.
  if (body === undefined || body.includes('\ufffd')) return refuse('invalid_input', 'The body is not valid UTF-8.');
  if (Buffer.byteLength(body) > limit) return tooLarge();
  return body;
}

/** Whether a content type names this media type, in UTF-8 if it names a character set at all. */
function isMediaType(contentType: string | undefined, wanted: string): boolean {
  if (contentType === wanted) return true;
  const [type, ...parameters] = (contentType ?? '').toLowerCase().split(';');
  return (
    type?.trim() === wanted &&
    parameters.every((parameter) => {
      const [name, value] = parameter.split('=').map((part) => part.trim());
      return name !== 'charset' || /^"?utf-?8"?$/.test(value ?? '');
    })
  );
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

function parseBody(route: Route, shape: z.ZodType, rawBody: string): Checked | Refusal {
  const isJson = (route.bodyType ?? 'application/json') === 'application/json';
  if (rawBody === '') return refuse(isJson ? 'invalid_json' : 'invalid_input', 'The body is empty.');
  if (!isJson) return check(shape, rawBody, 'body');
  try {
    return check(shape, parseJson(rawBody), 'body');
  } catch (error) {
    if (error instanceof InvalidJson) return refuse('invalid_json', `The body cannot be read: ${error.message}.`);
    throw error;
  }
}

function bearerToken(header: string | undefined): string {
  return header?.startsWith('Bearer ') ? header.slice('Bearer '.length) : '';
}

/** A correlation id from outside is used only if it can do no harm in a log. */
function acceptableCorrelationId(value: string | undefined): string | undefined {
  return value !== undefined && /^[\w-]{8,64}$/.test(value) ? value : undefined;
}

/** Whether MySQL or the way to it failed, as opposed to our own code; the reason may lie some causes down. */
function isStoreError(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { name, code, cause } = error as { name?: unknown; code?: unknown; cause?: unknown };
  return name === 'BreakerOpen' || unreachable.test(String(code ?? '')) || isStoreError(cause);
}

const unreachable =
  /^(ECONN|ETIMEDOUT|EPIPE|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|PROTOCOL_|ER_CON_|ER_LOCK_|ER_SERVER_SHUTDOWN)/;

function success(route: Route, body: unknown, headers: Record<string, string>): APIGatewayProxyStructuredResultV2 {
  if (body === undefined) return { statusCode: route.status, headers };
  const type = route.replyType ?? 'application/json';
  return {
    statusCode: route.status,
    headers: { 'content-type': type, ...headers },
    body: type === 'application/json' ? JSON.stringify(body) : String(body),
  };
}

/** A refusal as problem details (RFC 9457), with the code that programs read. */
function problem(
  refusal: Refusal,
  event: APIGatewayProxyEventV2,
  retryAfterSeconds?: number,
): APIGatewayProxyStructuredResultV2 {
  const { status, title, retry } = codes[refusal.refused];
  const asked = refusal.facts?.retryAfterSeconds;
  const waits = retryAfterSeconds ?? (typeof asked === 'number' ? asked : retry ? 1 : undefined);
  return {
    statusCode: status,
    headers: {
      'content-type': 'application/problem+json',
      ...(waits === undefined ? {} : { 'retry-after': String(waits) }),
      ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    },
    body: JSON.stringify({
      type: `urn:holdfast:problem:${refusal.refused}`,
      title,
      status,
      code: refusal.refused,
      detail: refusal.detail,
      instance: event.rawPath.slice(0, messageCharacters),
      ...refusal.facts,
    }),
  };
}

let tokensOfProcess: Promise<Tokens> | undefined;

/**
 * The verifier of this process, opened at its first use, and the signer too where the signing key is registered: in an
 * account only the functions that sign people in may read it.
 */
export function sharedTokens(deps: Deps): Promise<Tokens> {
  const signingKey = deps.registry['secret/token-signing-key'];
  tokensOfProcess ??= openTokens(signingKey || locate(deps.registry, 'token/verification-key'), deps.clock);
  return tokensOfProcess;
}
