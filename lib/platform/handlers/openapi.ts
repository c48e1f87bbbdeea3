/**
 * The OpenAPI 3.1 document, made from the routes by zod-openapi: the shapes that validate are the shapes that are
 * documented.
 *
 * A route lists its own refusals; those that follow from its declaration (it needs a token, it has a body) are added
 * here, because the HTTP wrapper makes them. `test/contract/openapi.test.ts` checks the document against
 * `serverless.yml`, and the tests check every response against the document.
 */
import * as z from 'zod';
import {
  createDocument,
  type oas31,
  type ZodOpenApiOperationObject,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi';
import { type Code, closingCodes, codes } from '#platform/kernel/errors.ts';
import { bytesType, maxJsonBytes } from './body.ts';
import type { Route } from './route.ts';

export type OpenApiDocument = ReturnType<typeof createDocument>;

/** Raised with every change that is not backward compatible. */
const apiVersion = '1.0.0';

/** OpenAPI cannot describe WebSockets, so their protocol is described in words. */
const webSocket = [
  'Notices and live stock are pushed over a WebSocket that is opened with `?token=` and an access token. Send ' +
    '`{"action":"watch","saleId":"…"}` for the stock of a sale, `{"action":"ping"}` every 25 seconds, and ' +
    '`{"action":"authenticate","token":"…"}` with a fresh access token before the last one ends.',
  'Each push carries a `version`, that of a sale an `epoch` as well: drop what is older than what you show. Before the ' +
    `server closes a connection it sends \`{"type":"closing","code":…}\` with one of: ${closingCodes.join(', ')}. Connect ` +
    'again then, and read what you have missed; after `too_many_connections` only when somebody asks for it.',
].join('\n\n');

/** What every refusal looks like: problem details (RFC 9457) with a code. */
const Problem = z
  .looseObject({
    type: z.string().describe('urn:holdfast:problem:<code>'),
    title: z.string().describe('What the code means, for people; fixed for each code'),
    status: z.int(),
    code: z.enum(Object.keys(codes) as Code[]).describe('What happened, for programs'),
    detail: z.string().describe('What to do about it, for people'),
    instance: z.string().describe('The path that was called'),
  })
  .meta({ id: 'Problem' });

const CorrelationId = z
  .string()
  .meta({ description: 'Identifies this call in the logs', header: { id: 'CorrelationId' } });
const RetryAfter = z
  .int()
  .optional()
  .meta({ description: 'Seconds to wait before trying again', header: { id: 'RetryAfter' } });
const IdempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/)
  .meta({
    description:
      'Chosen by the client, a new one for each operation: repeating the same key and request has no further effect',
    examples: ['order-2026-0001'],
  });

const ProofOfWork = z
  .string()
  .max(2_048)
  .meta({
    description:
      'The solution of the `challenge` that a refusal `work_required` held, as ALTCHA (version 2) encodes it: base64 of ' +
      '`{"challenge":…,"solution":…}`. It is good for one call of the operation that gave the challenge, for five minutes. Once a sale is open, ' +
      'work for its reservations counts only if the challenge was given after the opening',
  });

/** The Idempotency-Key header of a route. */
const keyOf = ({ idempotent }: Route) => (idempotent === 'optional' ? IdempotencyKey.optional() : IdempotencyKey);

/** Every code that a route can answer with: its own refusals, and those of every route of its kind. */
export function codesOf(route: Route): Code[] {
  const found = new Set<Code>(route.refusals);
  const signedIn = route.auth !== 'none' && route.auth !== 'optional';
  if (signedIn) found.add('unauthenticated');
  if (route.auth === 'customer') found.add('too_many_requests');
  if (route.takesProof) found.add('work_required');
  if (signedIn && route.auth !== 'customer') found.add('forbidden');
  if (route.params) found.add('not_found');
  if (route.query || route.body) found.add('invalid_input');
  if (route.body || route.raw) found.add('payload_too_large').add('unsupported_media_type').add('invalid_input');
  if (route.body && (route.bodyType ?? 'application/json') === 'application/json') found.add('invalid_json');
  if (route.idempotent) {
    found.add('idempotency_key_missing').add('idempotency_key_reused').add('invalid_input');
  }
  found.add('internal').add('store_unavailable');
  return [...found].sort((one, other) => codes[one].status - codes[other].status || one.localeCompare(other));
}

/**
 * Makes the document. `named` are the routes by their names, `sent` the shapes of the webhooks that are sent, by their types.
 */
export function openApiDocument(named: Record<string, Route>, sent: Record<string, z.ZodType> = {}): OpenApiDocument {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const [name, route] of Object.entries(named)) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(name, route) };
  }
  return createDocument(
    {
      openapi: '3.1.0',
      info: {
        title: 'Holdfast',
        version: apiVersion,
        description:
          'Reserve a quantity of a scarce product, and buy what was allocated when the purchase window opens. Times are ' +
          'ISO 8601, amounts are in minor units, lists are paged by cursor, and every refusal is a problem document with a ' +
          `code.\n\n${webSocket}`,
      },
      servers: [{ url: '/', description: 'The server of this document' }],
      tags: [...new Set(Object.values(named).map(({ tag }) => tag))].map((name) => ({ name })),
      paths,
      webhooks: Object.fromEntries(Object.entries(sent).map(([type, body]) => [type, { post: webhook(type, body) }])),
      components: {
        examples: Object.fromEntries((Object.keys(codes) as Code[]).map((code) => [code, exampleOf(code)])),
        securitySchemes: {
          accessToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'From POST /auth/login' },
        },
      },
    },
    { override: ({ jsonSchema }) => shorten(jsonSchema) },
  );
}

/** The headers of Standard Webhooks. */
const WebhookHeaders = z.object({
  'webhook-id': z.string().describe('The same at every attempt: a receiver that has seen it has this webhook already'),
  'webhook-timestamp': z.string().describe('When this attempt was made, in seconds since 1970'),
  'webhook-signature': z
    .string()
    .describe('v1 and the HMAC-SHA256 of id, timestamp and body; several while a secret is replaced'),
});

/** What is sent to endpoints, as the document describes it. */
function webhook(type: string, body: z.ZodType): ZodOpenApiOperationObject {
  return {
    operationId: type.replaceAll('.', '-'),
    summary: `Sent to endpoints that ask for ${type}`,
    description: body.meta()?.description ?? '',
    requestParams: { header: WebhookHeaders },
    requestBody: { required: true, content: { 'application/json': { schema: body } } },
    responses: {
      '2XX': { description: 'Taken. Any other answer, or none within five seconds, is tried again for three days' },
      '410': { description: 'The endpoint wants no more webhooks: it is switched off' },
    },
  };
}

/** Removes patterns and bounds that the format or the type already implies. */
function shorten(schema: z.core.JSONSchema.BaseSchema): void {
  if (schema.format === 'date-time' || schema.format === 'email' || schema.format === 'uuid') delete schema.pattern;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
}

const otherEncodings = `; as ${bytesType} also in UTF-16, or in the \`encoding\` that is named`;

const callers = {
  none: 'For everyone.',
  optional: 'For everyone; viewers, operators and admins who are signed in see more.',
  customer: 'For signed-in customers.',
  viewer: 'For viewers, operators and admins.',
  operator: 'For operators and admins.',
  admin: 'For admins.',
};

function operation(name: string, route: Route): ZodOpenApiOperationObject {
  const { body, example, bodyType = 'application/json', maxBodyBytes = maxJsonBytes } = route;
  return {
    operationId: name,
    summary: route.summary,
    description: callers[route.auth],
    tags: [route.tag],
    security: securityOf(route),
    requestParams: {
      ...(route.params ? { path: route.params as z.ZodObject } : {}),
      ...(route.query ? { query: route.query as z.ZodObject } : {}),
      ...headersOf(route),
    },
    ...(body
      ? {
          requestBody: {
            required: route.bodyOptional !== true,
            description: `At most ${maxBodyBytes.toLocaleString('en')} bytes, in UTF-8${route.mayBeBytes ? otherEncodings : ''}`,
            content: {
              [bodyType]: { schema: body, ...(example === undefined ? {} : { example }) },
              ...(route.mayBeBytes ? { [bytesType]: { schema: { type: 'string', format: 'binary' } } } : {}),
            },
          },
        }
      : {}),
    responses: {
      [`${route.status}`]: {
        description: 'Success',
        headers: z.object({ 'x-correlation-id': CorrelationId }),
        ...(route.reply ? { content: { [route.replyType ?? 'application/json']: { schema: route.reply } } } : {}),
      },
      ...refusalsOf(route),
    },
  };
}

/** An empty requirement means that a call without a token is fine too. */
function securityOf({ auth }: Route): Record<string, never[]>[] {
  if (auth === 'none') return [];
  return auth === 'optional' ? [{}, { accessToken: [] }] : [{ accessToken: [] }];
}

/** The headers that a route takes. */
function headersOf(route: Route): { header?: z.ZodObject } {
  const header = {
    ...(route.idempotent ? { 'Idempotency-Key': keyOf(route) } : {}),
    ...(route.takesProof ? { 'X-Proof-Of-Work': ProofOfWork.optional() } : {}),
  };
  return Object.keys(header).length > 0 ? { header: z.object(header) } : {};
}

/** One response for each status of a refusal, with its possible codes and an example of each. */
function refusalsOf(route: Route): ZodOpenApiResponsesObject {
  const byStatus = Map.groupBy(codesOf(route), (code) => codes[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, ofStatus]) => [
      `${status}`,
      {
        description: ofStatus.map((code) => `\`${code}\`: ${codes[code].title}`).join('; '),
        headers: z.object({
          'x-correlation-id': CorrelationId,
          ...(ofStatus.some((code) => codes[code].retry) ? { 'retry-after': RetryAfter } : {}),
        }),
        content: {
          'application/problem+json': {
            schema: Problem.and(z.looseObject({ code: z.enum(ofStatus), status: z.literal(status) })),
            examples: Object.fromEntries(ofStatus.map((code) => [code, { $ref: `#/components/examples/${code}` }])),
          },
        },
      },
    ]),
  );
}

function exampleOf(code: Code): oas31.ExampleObject {
  const { title, status } = codes[code];
  const instance = '/reservations/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b';
  return {
    summary: title,
    value: { type: `urn:holdfast:problem:${code}`, title, status, code, detail: title, instance },
  };
}
