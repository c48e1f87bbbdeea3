/**
 * The OpenAPI 3.1 document, made from the routes: the shapes that validate are the shapes that are documented.
 *
 * A route lists the refusals that are its own; those that follow from what it is (it needs a token, it takes a body) are
 * added here, because the HTTP wrapper makes them. `test/contract/openapi.test.ts` holds the document against
 * `serverless.yml`, and the tests hold every response against the document.
 */
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import { type Code, codes } from '#platform/kernel/errors.ts';
import { maxJsonBytes } from './body.ts';
import type { Route } from './route.ts';

/** A JSON Schema, as far as this document and the page that shows it look into one. */
export interface Schema {
  [keyword: string]: unknown;
  $ref?: string;
  type?: string | string[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  description?: string;
}

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required: boolean;
  description?: string;
  schema: Schema;
}

export interface Response {
  description: string;
  headers?: Record<string, { $ref: string }>;
  content?: Record<string, { schema: Schema }>;
}

export interface Operation {
  operationId: string;
  summary: string;
  tags: string[];
  security: Record<string, string[]>[];
  parameters?: Parameter[];
  requestBody?: { required: true; description: string; content: Record<string, { schema: Schema }> };
  responses: Record<string, Response>;
  /** Whether only operators may call it. */
  'x-operator-only'?: true;
}

export interface OpenApiDocument {
  openapi: '3.1.0';
  info: { title: string; version: string; description: string };
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: Record<'schemas' | 'headers' | 'securitySchemes', Record<string, Schema>>;
}

/** Rises when a client that was written for the version before might not understand an answer. */
const apiVersion = '1.0.0';

/** What every refusal looks like: problem details (RFC 9457) with a code. */
const Problem = z
  .looseObject({
    type: z.string().describe('urn:holdfast:problem:<code>'),
    title: z.string().describe('What the code means, for people; always the same for a code'),
    status: z.int(),
    code: z.string().describe('What happened, for programs'),
    detail: z.string().describe('What to do about it, for people'),
    instance: z.string().describe('The path that was called'),
  })
  .meta({ id: 'Problem' });

/** Every code a route can answer with: its own refusals, and those that follow from what it is. */
export function codesOf(route: Route): Code[] {
  const found = new Set<Code>(route.refusals);
  if (route.auth !== 'none') found.add('unauthenticated');
  if (route.auth === 'operator') found.add('forbidden');
  if (route.params) found.add('not_found');
  if (route.query || route.body) found.add('invalid_input');
  if (route.body || route.raw) found.add('payload_too_large').add('unsupported_media_type').add('invalid_input');
  if (route.body && (route.bodyType ?? 'application/json') === 'application/json') found.add('invalid_json');
  if (route.idempotent) found.add('idempotency_key_missing');
  found.add('internal').add('store_unavailable');
  return [...found].sort((one, other) => codes[one].status - codes[other].status || one.localeCompare(other));
}

/** Makes the document. `named` are the routes by the name of their function. */
export function openApiDocument(named: Record<string, Route>): OpenApiDocument {
  const schemas: Record<string, Schema> = {};
  const shape = (type: z.ZodType, io: 'input' | 'output') => toSchema(type, io, schemas);
  const problem = shape(Problem, 'output');
  const paths: OpenApiDocument['paths'] = {};
  for (const [name, route] of Object.entries(named)) {
    paths[route.path] ??= {};
    const at = paths[route.path];
    if (at) at[route.method.toLowerCase()] = operation(name, route, shape, problem);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Holdfast',
      version: apiVersion,
      description:
        'Reserve a quantity of a scarce product, and buy what was allocated when the purchase window opens. Times are ' +
        'ISO 8601, amounts are in minor units, lists are paged by cursor, and every refusal is a problem document with a code.',
    },
    tags: [...new Set(Object.values(named).map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(schemas).sort(([one], [other]) => one.localeCompare(other))),
      headers: {
        CorrelationId: { description: 'Names this call in every log it leaves', schema: { type: 'string' } },
        RetryAfter: { description: 'Seconds to wait before trying again', schema: { type: 'integer' } },
      },
      securitySchemes: {
        accessToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'From POST /auth/login' },
      },
    },
  };
}

type Shape = (type: z.ZodType, io: 'input' | 'output') => Schema;

function operation(name: string, route: Route, shape: Shape, problem: Schema): Operation {
  const parameters = [
    ...parametersOf(route.params, 'path', shape),
    ...parametersOf(route.query, 'query', shape),
    ...(route.idempotent ? [idempotencyKey] : []),
  ];
  const type = route.bodyType ?? 'application/json';
  const limit = route.maxBodyBytes ?? maxJsonBytes;
  return {
    operationId: name,
    summary: route.summary,
    tags: [route.tag],
    security: route.auth === 'none' ? [] : [{ accessToken: [] }],
    ...(route.auth === 'operator' ? { 'x-operator-only': true as const } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(route.body
      ? {
          requestBody: {
            required: true as const,
            description: `At most ${limit.toLocaleString('en')} bytes, in UTF-8`,
            content: { [type]: { schema: shape(route.body, 'input') } },
          },
        }
      : {}),
    responses: {
      [route.status]: {
        description: 'Success',
        headers: { 'x-correlation-id': correlationHeader },
        ...(route.reply
          ? { content: { [route.replyType ?? 'application/json']: { schema: shape(route.reply, 'output') } } }
          : {}),
      },
      ...refusalsOf(route, problem),
    },
  };
}

const correlationHeader = { $ref: '#/components/headers/CorrelationId' };
const retryHeader = { $ref: '#/components/headers/RetryAfter' };

const idempotencyKey: Parameter = {
  name: 'Idempotency-Key',
  in: 'header',
  required: true,
  description: 'Of your choice, one for each thing you want: the same key and request again has the same answer',
  schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x21-\\x7e]+$' },
};

function parametersOf(type: z.ZodType | undefined, where: 'path' | 'query', shape: Shape): Parameter[] {
  if (!type) return [];
  const given = shape(type, 'input');
  // What a limit is read as says more than that it arrives as text.
  const read = shape(type, 'output');
  return Object.entries(read.properties ?? {}).map(([name, { description, ...schema }]) => ({
    name,
    in: where,
    required: given.required?.includes(name) ?? false,
    ...(description ? { description } : {}),
    schema,
  }));
}

/** One response for each status that a refusal can have, naming the codes that it may carry. */
function refusalsOf(route: Route, problem: Schema): Record<string, Response> {
  const byStatus = new Map<number, Code[]>();
  for (const code of codesOf(route))
    byStatus.set(codes[code].status, [...(byStatus.get(codes[code].status) ?? []), code]);
  return Object.fromEntries(
    [...byStatus].map(([status, ofStatus]) => [
      String(status),
      {
        description: ofStatus.map((code) => `\`${code}\`: ${codes[code].title}`).join('; '),
        headers: {
          'x-correlation-id': correlationHeader,
          ...(ofStatus.some((code) => codes[code].retry) ? { 'retry-after': retryHeader } : {}),
        },
        content: {
          'application/problem+json': {
            schema: { allOf: [problem, { properties: { code: { enum: ofStatus }, status: { const: status } } }] },
          },
        },
      },
    ]),
  );
}

/** Turns a shape into a schema; what carries an id becomes a component and a reference to it. */
function toSchema(type: z.ZodType, io: 'input' | 'output', components: Record<string, Schema>): Schema {
  const whole = z.toJSONSchema(z.object({ value: type }), {
    io,
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      // The format says it already, and nobody reads the pattern.
      if (jsonSchema.format === 'date-time' || jsonSchema.format === 'email') delete jsonSchema.pattern;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
    },
  }) as Schema;
  const renamed = new Map<string, string>();
  const definitions = (whole.$defs ?? {}) as Record<string, Schema>;
  const rename = (schema: unknown): unknown => {
    if (Array.isArray(schema)) return schema.map(rename);
    if (typeof schema !== 'object' || schema === null) return schema;
    return Object.fromEntries(
      Object.entries(schema).map(([key, value]) => {
        if (key !== '$ref') return [key, rename(value)];
        const name = String(value).slice('#/$defs/'.length);
        return [key, `#/components/schemas/${renamed.get(name) ?? name}`];
      }),
    );
  };
  for (const [name, definition] of Object.entries(definitions)) {
    const { id: _id, ...plain } = definition;
    definitions[name] = plain;
    // A shape that reads otherwise than it writes has two schemas.
    const taken = components[name] !== undefined && !isDeepStrictEqual(components[name], rename(plain));
    renamed.set(name, taken ? `${name}${io === 'input' ? 'Given' : 'Shown'}` : name);
  }
  for (const [name, definition] of Object.entries(definitions)) {
    components[renamed.get(name) ?? name] = rename(definition) as Schema;
  }
  return rename(whole.properties?.value ?? {}) as Schema;
}
