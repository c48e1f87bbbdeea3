/**
 * What a finished document gets besides its shapes: an example of everything that has none, made of its schema, and links from
 * answers to the operations that go on from them.
 */
import type { createDocument } from 'zod-openapi';
import type { Route } from './route.ts';

export type OpenApiDocument = ReturnType<typeof createDocument>;

/** What fields of these names look like. */
export type Samples = Readonly<Record<string, unknown>>;

/** The part of a JSON Schema that is read here. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly minimum?: number;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

interface Media {
  schema?: Schema;
  example?: unknown;
  examples?: unknown;
}
interface Response {
  $ref?: string;
  content?: Record<string, Media>;
  links?: Record<string, unknown>;
}
interface Parameter {
  $ref?: string;
  name: string;
  schema?: Schema;
  example?: unknown;
}
interface Operation {
  operationId: string;
  parameters?: Parameter[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, Response>;
}

const methods = ['get', 'post', 'put', 'patch', 'delete'];

function operationsOf({ paths = {}, webhooks = {} }: OpenApiDocument): Operation[] {
  return [...Object.values(paths), ...Object.values(webhooks)].flatMap((item) =>
    methods.flatMap((method) => (item as Record<string, Operation>)[method] ?? []),
  );
}

/** What a reference of the document leads to, or the thing itself. */
function resolver({ components }: OpenApiDocument) {
  const parts = components as unknown as Record<string, Record<string, unknown>>;
  return <Thing extends { $ref?: string }>(thing: Thing): Thing => {
    const [, , part = '', name = ''] = thing.$ref?.split('/') ?? [];
    return thing.$ref === undefined ? thing : (parts[part]?.[name] as Thing);
  };
}

/** Whether a value has the type of a schema. */
function isOf({ type, enum: values }: Schema, value: unknown): boolean {
  const own = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  const types = [type].flat();
  return (types.includes(own) || (own === 'number' && types.includes('integer'))) && (values?.includes(value) ?? true);
}

/** Gives each parameter, body and answer that has no example one. */
export function addExamples(document: OpenApiDocument, samples: Samples): void {
  const resolved = resolver(document);
  const sample = (given: Schema, name: string): unknown => {
    const schema = resolved(given);
    const [shown = schema.default ?? schema.enum?.[0]] = schema.examples ?? [];
    const branches = schema.anyOf ?? schema.oneOf ?? [schema];
    if (Object.hasOwn(samples, name) && branches.some((branch) => isOf(resolved(branch), samples[name]))) {
      return samples[name];
    }
    if (shown !== undefined) return shown;
    const [first] = schema.anyOf ?? schema.oneOf ?? [];
    if (first) return sample(first, name);
    switch ([schema.type].flat()[0]) {
      case 'object':
        return Object.fromEntries(
          Object.entries(schema.properties ?? {}).map(([key, value]) => [key, sample(value, key)]),
        );
      case 'array':
        return schema.items ? [sample(schema.items, name)] : [];
      case 'integer':
      case 'number':
        return schema.minimum ?? 1;
      case 'boolean':
        return true;
      case 'null':
        return null;
      default:
        return schema.format === 'date-time' ? samples['date-time'] : schema.format === 'uuid' ? samples.uuid : name;
    }
  };
  const illustrate = (media: Media, name: string): void => {
    if (media.schema && media.example === undefined && media.examples === undefined) {
      media.example = sample(media.schema, name);
    }
  };
  for (const { parameters = [], requestBody, responses } of operationsOf(document)) {
    for (const parameter of parameters.map(resolved)) illustrate(parameter, parameter.name);
    for (const media of Object.values(requestBody?.content ?? {})) illustrate(media, 'body');
    for (const response of Object.values(responses)) {
      for (const media of Object.values(resolved(response).content ?? {})) illustrate(media, 'body');
    }
  }
}

/** Links each answer that names one thing to the operations on that thing which its caller may call. */
export function addLinks(document: OpenApiDocument, named: Readonly<Record<string, Route>>): void {
  const resolved = resolver(document);
  const bySubject = Map.groupBy(
    Object.entries(named).filter(([, { path }]) => path.split('{').length === 2),
    ([, { path }]) => path.slice(path.indexOf('{') + 1, path.indexOf('}')),
  );
  for (const { operationId, responses } of operationsOf(document)) {
    const route = named[operationId];
    const response = responses[`${route?.status}`];
    const schema = response?.content?.['application/json']?.schema;
    if (!route || !response || !schema) continue;
    const links = (resolved(schema).required ?? []).flatMap((field) =>
      (bySubject.get(field) ?? [])
        .filter(([name, { auth }]) => name !== operationId && [route.auth, 'none', 'optional'].includes(auth))
        .map(([name]) => [name, { operationId: name, parameters: { [field]: `$response.body#/${field}` } }] as const),
    );
    if (links.length > 0) response.links = Object.fromEntries(links);
  }
}
