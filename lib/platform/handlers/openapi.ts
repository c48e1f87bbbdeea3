/**
 * The OpenAPI 3.1 document, made from the routes by zod-openapi: the shapes that validate are the shapes that are
 * documented. What it forbids is refused as malformed (400), what it allows is taken or refused for what it says (409, 422).
 *
 * Requests are closed, answers may grow: a field that the document does not know is refused in a request, and to be expected in
 * an answer (docs/api.md). Every answer has an example, made of its shape, and links to the operations that go on from it.
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
import { type Code, closingCodes, codes, Facts } from '#platform/kernel/errors.ts';
import { bytesType, maxJsonBytes } from './body.ts';
import { externalIdPattern, idempotencyKeyPattern } from './input.ts';
import { addExamples, addLinks, type OpenApiDocument, type Samples } from './openapi-examples.ts';
import { type Route, takesOutside } from './route.ts';

/** What it rises by is said in docs/api.md. */
export const apiVersion = '1.0.0';

/** For how many hours an answer is kept for a repeated key, at least. */
export const answersKeptHours = 24;

/** OpenAPI cannot describe WebSockets, so their protocol is described in words. */
const webSocket = [
  'Notices and live stock are pushed over a WebSocket that is opened with `?token=` and an access token. Send ' +
    '`{"action":"watch","saleId":"…"}` for the stock of a sale, `{"action":"ping"}` every 25 seconds, and ' +
    '`{"action":"authenticate","token":"…"}` with a fresh access token before the last one ends.',
  'Each push carries a `version`, that of a sale an `epoch` as well: drop what is older than what you show. Before the ' +
    `server closes a connection it sends \`{"type":"closing","code":…}\` with one of: ${closingCodes.join(', ')}. Connect ` +
    'again then, and read what you have missed; after `too_many_connections` only when somebody asks for it.',
  'All messages of the WebSocket, and the webhooks, are described by the AsyncAPI document at `/asyncapi.json`.',
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
    ...Facts.shape,
  })
  .meta({ id: 'Problem', description: 'A refusal, or a fault: problem details (RFC 9457)' });

const CorrelationId = z
  .string()
  .meta({ description: 'Identifies this call in the logs', header: { id: 'CorrelationId' } });
const RetryAfter = z
  .int()
  .optional()
  .meta({ description: 'Seconds to wait before trying again', header: { id: 'RetryAfter' } });
const Replayed = z
  .enum(['true'])
  .optional()
  .meta({
    description: 'This is the answer to the first request with this Idempotency-Key; nothing was done again',
    header: { id: 'IdempotentReplayed' },
  });
const IdempotencyKey = z
  .string()
  .regex(idempotencyKeyPattern)
  .meta({
    description:
      'Chosen by the client, a new one for each operation: repeating the same key and request has no further effect. Bare or in ' +
      'quotes it is the same key',
    examples: ['order-2026-0001'],
  });

const ExternalCustomer = z
  .string()
  .regex(externalIdPattern)
  .meta({
    description:
      'With an API key: for whom it acts, by the external id. An access token says so itself, and this is not read',
    examples: ['member-4711'],
  });

const ProofOfWork = z.string().meta({
  description:
    'The solution of the `challenge` that a refusal `work_required` held, as ALTCHA (version 2) encodes it: base64 of ' +
    '`{"challenge":…,"solution":…}`. It is good for one call of the operation that gave the challenge, for five minutes. Once a sale is open, ' +
    'work for its reservations counts only if the challenge was given after the opening. What is no proof counts as none',
});

/** The Idempotency-Key header of a route. */
const keyOf = ({ idempotent }: Route) => (idempotent === 'optional' ? IdempotencyKey.optional() : IdempotencyKey);

/** Every code that a route can answer with: its own refusals, and those of every route of its kind. */
export function codesOf(route: Route): Code[] {
  const found = new Set<Code>(route.refusals);
  const signedIn = route.auth !== 'none' && route.auth !== 'optional';
  if (signedIn) found.add('unauthenticated').add(route.scope ? 'invalid_api_key' : 'people_only');
  if (takesOutside(route)) found.add('token_not_accepted').add('unknown_token_key').add('issuer_unavailable');
  else if (signedIn) found.add('own_account_needed');
  if (route.scope) found.add('missing_scope').add('too_many_requests');
  if (route.scope === 'customers:act') found.add('customer_missing').add('invalid_input');
  if (route.auth === 'customer') found.add('too_many_requests');
  if (route.takesProof) found.add('work_required');
  if (signedIn && route.auth !== 'customer') found.add('forbidden');
  if (route.params) found.add('not_found');
  if (route.query || route.body) found.add('invalid_input');
  if (route.query instanceof z.ZodObject && 'cursor' in route.query.shape) found.add('unprocessable');
  if (route.body || route.sends) found.add('payload_too_large').add('unsupported_media_type').add('invalid_input');
  if (route.body && (route.bodyType ?? 'application/json') === 'application/json') found.add('invalid_json');
  if (route.idempotent) {
    found.add('idempotency_key_missing').add('idempotency_key_reused').add('invalid_input');
  }
  found.add('internal').add('store_unavailable');
  return [...found].sort((one, other) => codes[one].status - codes[other].status || one.localeCompare(other));
}

export interface DocumentOptions {
  /** Whether answers are closed too, for tests: in the document itself they may grow. */
  readonly closed?: boolean;
  /** What fields of these names look like, for examples. */
  readonly samples?: Samples;
}

/**
 * Makes the document. `named` are the routes by their names, `sent` the shapes of the webhooks that are sent, by their types.
 */
export function openApiDocument(
  named: Record<string, Route>,
  sent: Record<string, z.ZodType> = {},
  { closed = false, samples = {} }: DocumentOptions = {},
): OpenApiDocument {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const [name, route] of Object.entries(named)) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(name, route) };
  }
  const answered = new Set(Object.values(named).flatMap(codesOf));
  const document = createDocument(
    {
      openapi: '3.1.1',
      info: {
        title: 'Holdfast',
        version: apiVersion,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
        contact: { name: 'Holdfast contributors' },
        description:
          'Reserve a quantity of a scarce product, and buy what was allocated when the purchase window opens. Times are ' +
          'ISO 8601, amounts are in minor units, lists are paged by cursor, and every refusal is a problem document with a ' +
          `code.\n\n${webSocket}`,
      },
      servers: [{ url: '/', description: 'The server of this document' }],
      tags: [...new Set(Object.values(named).map(({ tag }) => tag))].map((name) => ({
        name,
        description: tags[name] ?? name,
      })),
      paths,
      webhooks: Object.fromEntries(Object.entries(sent).map(([type, body]) => [type, { post: webhook(type, body) }])),
      components: {
        examples: Object.fromEntries([...answered].map((code) => [code, exampleOf(code)])),
        securitySchemes: {
          accessToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'From POST /auth/login' },
          issuerToken: {
            type: 'http',
            scheme: 'bearer',
            bearerFormat: 'JWT',
            description:
              'A customer’s access token of an OpenID Connect issuer that the shop has set up. Who comes with one is a customer at ' +
              'first sight',
          },
          apiKey: { type: 'http', scheme: 'bearer', bearerFormat: 'hfk_…', description: 'From POST /ops/api-keys' },
        },
      },
    },
    { override: ({ jsonSchema, io }) => simplify(jsonSchema, io === 'output', !closed) },
  );
  withoutDoubles(document);
  addLinks(document, named);
  addExamples(document, samples);
  return document;
}

/** What stands beside a reference or a type and is of another one. */
function withoutDoubles(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  if ('$ref' in node && 'additionalProperties' in node) delete node.additionalProperties;
  // A number in a query is text there.
  if ('type' in node && node.type === 'integer' && 'pattern' in node) delete node.pattern;
  for (const part of Object.values(node)) withoutDoubles(part);
}

/** What each tag is about. */
const tags: Record<string, string> = {
  Identity: 'Accounts, sessions and roles',
  'API keys': 'With what programs call',
  Catalog: 'What can be sold',
  Sales: 'What everyone sees of a sale, and how operators run it',
  Reservations: 'Asking for units of a sale',
  Purchases: 'Buying what was reserved, refunds and disputes',
  Notifications: 'What customers were told',
  Webhooks: 'What other programs are told, and what the payment provider tells',
  Operations: 'Health, documents of the API, and a sale from the inside',
};

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
    security: [],
    requestParams: { header: WebhookHeaders },
    requestBody: { required: true, content: { 'application/json': { schema: body } } },
    responses: {
      '2XX': { description: 'Taken. Any other answer, or none within five seconds, is tried again for three days' },
      '410': { description: 'The endpoint wants no more webhooks: it is switched off' },
    },
  };
}

/**
 * Removes what an answer's format or type already implies, and says one value as generators understand it. An answer that may
 * grow can have more fields than are known.
 */
export function simplify(schema: z.core.JSONSchema.BaseSchema, isAnswer: boolean, mayGrow: boolean): void {
  if (isAnswer) {
    if (mayGrow && schema.additionalProperties === false) delete schema.additionalProperties;
    if (schema.format === 'date-time' || schema.format === 'uuid') delete schema.pattern;
    if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
    if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
  }
  const { propertyNames, additionalProperties: value } = schema;
  if (propertyNames && typeof propertyNames === 'object' && propertyNames.enum && schema.required) {
    // A number for each of some names: as the fields that they are.
    schema.properties = Object.fromEntries(propertyNames.enum.map((name) => [`${name}`, { ...(value as object) }]));
    delete schema.propertyNames;
    delete schema.additionalProperties;
  }
  if ('const' in schema) {
    schema.enum = [schema.const as string];
    delete schema.const;
  }
}

const otherEncodings = `; as ${bytesType} also in UTF-16, or in the \`encoding\` that is named`;

const StatusUrl = z.string().optional().meta({ description: 'The status URL, of what is new' });
const hasStatusUrl = ({ reply }: Route) => reply instanceof z.ZodObject && 'statusUrl' in reply.shape;

const statuses: Record<number, string> = {
  200: 'Done',
  201: 'Made',
  202: 'Accepted: it goes on behind this answer',
  204: 'Done; there is nothing to say',
};

const withKey = ({ keptMinutes }: Route) =>
  `The first answer to an Idempotency-Key, a refusal for how things are (404, 409) included, is kept for ${
    keptMinutes === undefined ? `${answersKeptHours} hours` : `${keptMinutes} minutes`
  }: the same request ` +
  'with the same key is given it again, with the same status and `Idempotent-Replayed: true`, and another request with it is ' +
  'refused as `idempotency_key_reused`. What is not valid, may not be done by who asks (401, 403), is too often, asks for a confirmation ' +
  'or to be repeated, or failed on our side, is not kept.';

/** An operation in words: its own, who may call it, and what a repeated call does. */
function describe(route: Route): string {
  const kept = route.idempotent && (route.keysAre ?? withKey(route));
  const programs = route.scope && `Programs need an API key with the scope \`${route.scope}\`.`;
  return [route.description, callers[route.auth], programs, kept, route.repeated].filter(Boolean).join('\n\n');
}

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
    description: describe(route),
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
    ...(route.sends
      ? { requestBody: { required: true, content: { 'application/json': { schema: route.sends } } } }
      : {}),
    responses: {
      [`${route.status}`]: {
        description: statuses[route.status] ?? 'Done',
        headers: z.object({
          'x-correlation-id': CorrelationId,
          ...(route.idempotent ? { 'idempotent-replayed': Replayed } : {}),
          ...(hasStatusUrl(route) ? { location: StatusUrl } : {}),
          ...route.replyHeaders,
        }),
        ...(route.reply ? { content: { [route.replyType ?? 'application/json']: { schema: route.reply } } } : {}),
      },
      ...refusalsOf(route),
    },
  };
}

/** An empty requirement means that a call without a token is fine too. */
function securityOf(route: Route): Record<string, never[]>[] {
  const { auth, scope } = route;
  if (auth === 'none') return [];
  if (auth === 'optional') return [{}, { accessToken: [] }];
  const outside = takesOutside(route) ? [{ issuerToken: [] }] : [];
  return [{ accessToken: [] }, ...outside, ...(scope ? [{ apiKey: [] }] : [])];
}

/** The headers that a route takes. */
function headersOf(route: Route): { header?: z.ZodObject } {
  const header = {
    ...(route.idempotent ? { 'Idempotency-Key': keyOf(route) } : {}),
    ...(route.scope === 'customers:act' ? { 'Holdfast-Customer': ExternalCustomer.optional() } : {}),
    ...(route.takesProof ? { 'X-Proof-Of-Work': ProofOfWork.optional() } : {}),
    ...(route.sends ? WebhookHeaders.shape : {}),
  };
  return Object.keys(header).length > 0 ? { header: z.object(header) } : {};
}

/** What an operation without refusals of its own may be answered with. */
const gatewayRefusal = { 429: { description: 'The gateway has too many requests; the answer is its own' } };

/** One response for each status of a refusal, with its possible codes and an example of each. */
function refusalsOf(route: Route): ZodOpenApiResponsesObject {
  const byStatus = Map.groupBy(codesOf(route), (code) => codes[code].status);
  const ofGateway = [...byStatus.keys()].some((status) => status < 500) ? {} : gatewayRefusal;
  const ownRefusals = Object.fromEntries(
    [...byStatus].map(([status, ofStatus]) => [
      `${status}`,
      {
        description: ofStatus.map((code) => `\`${code}\`: ${codes[code].title}`).join('; '),
        headers: z.object({
          'x-correlation-id': CorrelationId,
          ...(ofStatus.some((code) => codes[code].retry) ? { 'retry-after': RetryAfter } : {}),
          ...(route.idempotent ? { 'idempotent-replayed': Replayed } : {}),
        }),
        content: {
          'application/problem+json': {
            schema: Problem,
            examples: Object.fromEntries(ofStatus.map((code) => [code, { $ref: `#/components/examples/${code}` }])),
          },
        },
      },
    ]),
  );
  return { ...ofGateway, ...ownRefusals };
}

function exampleOf(code: Code): oas31.ExampleObject {
  const { title, status } = codes[code];
  const instance = '/reservations/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b';
  return {
    summary: title,
    value: { type: `urn:holdfast:problem:${code}`, title, status, code, detail: title, instance },
  };
}
