/**
 * The API inside the test's own process, without HTTP and so without the client, which would not send half of what is sent here: finds the function of a call in `serverless.yml` as API Gateway does, hands it
 * the event API Gateway would, and checks every answer against the OpenAPI document.
 *
 * Invariant: an answer that the document does not describe (a status, a code, a field too many or too few) fails the
 * test that got it, whatever the test itself asserts.
 */

import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import { apiDocument } from '#functions/http/document.ts';
import { routes } from '#functions/http/routes.ts';
import { seedOperator } from '#identity/register.ts';
import { handlerOf } from '#local/function-host.ts';
import { readDeclared } from '#local/serverless-config.ts';
import { type Deps, sharedDeps } from '#platform/environment/deps.ts';
import type { HttpHandler } from '#platform/handlers/http.ts';
import { codesOf } from '#platform/handlers/openapi.ts';
import type { OpenApiDocument } from '#platform/handlers/openapi-examples.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { redisReady } from '#platform/redis/redis.ts';
import type { Role } from '#platform/security/roles.ts';
import { newId } from '#test/support/ids.ts';

export interface Sent {
  token?: string;
  /** The Idempotency-Key. */
  key?: string;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is, as JSON unless the headers say otherwise. */
  text?: string;
  /** JSON that is falsy, as a local gateway hands it on. */
  falsy?: 0 | false | null;
  /** Sent in base64, as API Gateway does with what is not text. */
  bytes?: Uint8Array;
  ip?: string;
}

export interface Answer {
  status: number;
  headers: Record<string, string>;
  // What an answer holds is what the tests are about; the document checks its shape.
  // biome-ignore lint/suspicious/noExplicitAny: see above
  body: any;
  text: string;
}

export interface Api {
  readonly document: OpenApiDocument;
  /** The dependencies that the functions of this process use. */
  deps(): Promise<Deps>;
  /** Calls `GET /sales?limit=5` and the like. An address of no function answers 404 as the gateway would. */
  call(call: string, sent?: Sent): Promise<Answer>;
  /** Signs up a new customer and signs in. */
  customer(): Promise<{
    customerId: CustomerId;
    email: string;
    token: string;
    refreshToken: string;
    deviceToken: string;
  }>;
  /** Signs in an operator, or somebody of another role. */
  operator(role?: Role): Promise<string>;
  close(): Promise<void>;
}

export const password = 'correct horse battery';

interface Served {
  method: string;
  path: string;
  pattern: RegExp;
  load(): Promise<HttpHandler>;
}

/**
 * How long a Redis command may take in tests of what the API answers. A machine on which much else runs stands still for
 * longer than functions wait, and then they say honestly that they do not know, which is not what these tests ask.
 */
const patientMs = 5_000;

/** Opens the API on the bed that this process works on. One that is not `patient` waits for Redis as functions do. */
export function openApi({ patient = true }: { patient?: boolean } = {}): Api {
  let waited = false;
  const deps = async (): Promise<Deps> => {
    const shared = await sharedDeps();
    if (patient && !waited) {
      shared.redis.commandTimeoutMs = patientMs;
      await redisReady(shared.redis, patientMs);
      waited = true;
    }
    return shared;
  };
  const document = apiDocument({ closed: true });
  const served = readServed();
  const conforms = contract(document);

  async function call(line: string, sent: Sent = {}): Promise<Answer> {
    const [method = '', address = ''] = line.split(' ', 2);
    const [path = '', query = ''] = address.split('?', 2);
    for (const one of served) {
      const found = one.method === method ? one.pattern.exec(path) : null;
      if (!found) continue;
      await deps();
      const handler = await one.load();
      const result = await handler(toEvent(one, path, query, found.groups, sent), context());
      const text = result.body ?? '';
      const headers = (result.headers ?? {}) as Record<string, string>;
      const isJson = /[/+]json/.test(headers['content-type'] ?? '');
      const answer: Answer = { status: result.statusCode ?? 0, headers, text, body: isJson ? JSON.parse(text) : text };
      conforms(one, answer);
      return answer;
    }
    return { status: 404, headers: {}, body: { message: 'Not Found' }, text: '' };
  }

  async function signIn(email: string): Promise<Answer> {
    return call('POST /auth/login', { json: { email, password } });
  }

  return {
    document,
    deps,
    call,
    async customer() {
      const email = `${newId()}@example.com`;
      const { body } = await call('POST /auth/register', { json: { email, password, name: 'Ada' } });
      const { customerId, accessToken, refreshToken, deviceToken } = body;
      return { customerId, email, token: accessToken, refreshToken, deviceToken };
    },
    async operator(role) {
      const email = `${newId()}@example.com`;
      await seedOperator(await deps(), { email, password }, role);
      return (await signIn(email)).body.accessToken;
    },
    async close() {
      await (await deps()).close();
    },
  };
}

const { functions } = await readDeclared();

/** The functions with their addresses; literal segments before parameters, as the gateway prefers them. */
function readServed(): Served[] {
  return functions
    .flatMap((declared) =>
      declared.routes.map(({ method, path }) => {
        const { url, name } = handlerOf(declared);
        return {
          method,
          path,
          pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`),
          load: async () => (await import(url))[name] as HttpHandler,
        };
      }),
    )
    .sort((one, other) => Number(one.path.includes('{')) - Number(other.path.includes('{')));
}

function toEvent(
  { method, path: pattern }: Pick<Served, 'method' | 'path'>,
  path: string,
  query: string,
  groups: Record<string, string> | undefined,
  { token, key, headers, json, text, falsy, bytes, ip }: Sent,
): APIGatewayProxyEventV2 {
  const value = json === undefined ? text : JSON.stringify(json);
  const body = falsy !== undefined ? falsy : bytes ? Buffer.from(bytes).toString('base64') : value;
  const params = Object.fromEntries(Object.entries(groups ?? {}).map(([name, value]) => [name, decode(value)]));
  const search: Record<string, string> = {};
  // The gateway joins repeated values with a comma.
  for (const [name, value] of new URLSearchParams(query)) {
    search[name] = search[name] === undefined ? value : `${search[name]},${value}`;
  }
  return {
    version: '2.0',
    routeKey: `${method} ${pattern}`,
    rawPath: path,
    rawQueryString: query,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(falsy === undefined ? {} : { 'content-length': String(JSON.stringify(falsy).length) }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...headers,
    },
    ...(groups ? { pathParameters: params } : {}),
    ...(query ? { queryStringParameters: search } : {}),
    ...(body === undefined ? {} : { body }),
    isBase64Encoded: bytes !== undefined,
    requestContext: { http: { method, path, sourceIp: ip ?? '127.0.0.1' } },
  } as unknown as APIGatewayProxyEventV2;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function context(): Context {
  return { awsRequestId: newId(), getRemainingTimeInMillis: () => 15_000 } as unknown as Context;
}

/** What the document says of one answer; the document of this API holds its responses where they belong, not by reference. */
function responseOf({ paths }: OpenApiDocument, path: string, method: string, status: number) {
  const operation = (paths?.[path] as Record<string, Described> | undefined)?.[method.toLowerCase()];
  return operation?.responses[status];
}
interface Described {
  responses: Record<string, { content?: Record<string, unknown> }>;
}

/** Checks answers against the document; throws for one that it does not describe. */
function contract(document: OpenApiDocument): (route: { method: string; path: string }, answer: Answer) => void {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema(document, 'api');
  const compiled = new Map<string, ValidateFunction>();
  return ({ method, path }, { status, headers, body, text }) => {
    const described = responseOf(document, path, method, status);
    const what = `${method} ${path} → ${status}`;
    if (!described) throw new Error(`${what} is not in the document: ${text}`);
    const type = headers['content-type'];
    if (!described.content) {
      if (text !== '') throw new Error(`${what} should have no body: ${text}`);
      return;
    }
    if (type === undefined || !described.content[type]) throw new Error(`${what} should not be of type ${type}`);
    const pointer = ['paths', path, method.toLowerCase(), 'responses', String(status), 'content', type, 'schema'];
    const ref = `api#/${pointer.map((part) => encodeURIComponent(part.replace(/~/g, '~0').replace(/\//g, '~1'))).join('/')}`;
    const validate = compiled.get(ref) ?? ajv.compile({ $ref: ref });
    compiled.set(ref, validate);
    const route = Object.values(routes).find((one) => one.method === method && one.path === path);
    if (status >= 400 && route && !codesOf(route).includes(body.code)) {
      throw new Error(`${what} with ${body.code} is not in the document: ${text}`);
    }
    if (!validate(body))
      throw new Error(`${what} is not as the document says: ${ajv.errorsText(validate.errors)}: ${text}`);
  };
}
