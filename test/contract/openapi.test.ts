/** The OpenAPI document, `serverless.yml` and the handlers describe one and the same API. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { routes } from '#functions/http/routes.ts';
import { handlerOf } from '#local/function-host.ts';
import { readDeclared } from '#local/serverless-config.ts';
import { docsPage } from '#operations/docs-page.ts';
import { codesOf, type Operation, openApiDocument } from '#platform/handlers/openapi.ts';
import { codes } from '#platform/kernel/errors.ts';

const declared = (await readDeclared()).functions.filter((one) => one.routes.length > 0);
const document = openApiDocument(routes);

const declaredLines = declared.flatMap(({ key, routes: lines }) =>
  lines.map(({ method, path }) => `${key}: ${method} ${path}`),
);
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

describe('one API', () => {
  test('every route of serverless.yml is in routes.ts under its function’s name, and the other way round', () => {
    const lines = Object.entries(routes).map(([name, { method, path }]) => `${name}: ${method} ${path}`);
    expect(lines.sort()).toEqual([...declaredLines].sort());
  });

  test('and every one is in the document', () => {
    const lines = operations.map(
      ({ path, method, operation }) => `${operation.operationId}: ${method.toUpperCase()} ${path}`,
    );
    expect(lines.sort()).toEqual([...declaredLines].sort());
  });

  test.each(declared.map((one) => [one.key, one] as const))('the function %s can be loaded', async (_key, one) => {
    const { url, name } = handlerOf(one);
    expect(typeof (await import(url))[name]).toBe('function');
  });
});

describe('the document', () => {
  test('has no reference that leads nowhere', () => {
    const found = new Set<string>();
    JSON.stringify(document, (key, value) => {
      if (key === '$ref') found.add(value);
      return value;
    });
    expect(found.size).toBeGreaterThan(5);
    for (const ref of found) {
      const [, , part = '', name = ''] = ref.split('/');
      const components: Record<string, Record<string, unknown>> = document.components;
      expect([ref, components[part]?.[name] !== undefined]).toEqual([ref, true]);
    }
  });

  test('has only schemas that a validator understands', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema(document, 'api');
    for (const name of Object.keys(document.components.schemas)) {
      expect(() => ajv.compile({ $ref: `api#/components/schemas/${name}` })).not.toThrow();
    }
  });

  const named = operations.map((one) => [one.operation.operationId, one] as const);

  test.each(named)('%s says what it is, who may call it, and what it takes', (id, { path, operation }) => {
    const route = routes[id];
    if (!route) throw new Error('no such route');
    expect(operation.summary.length).toBeGreaterThan(5);
    expect(operation.security.length > 0).toBe(route.auth !== 'none');
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const parameters = operation.parameters ?? [];
    expect(parameters.filter((one) => one.in === 'path').map(({ name }) => name)).toEqual(inPath);
    expect(parameters.some(({ name }) => name === 'Idempotency-Key')).toBe(route.idempotent === true);
    expect(operation.requestBody !== undefined).toBe(route.body !== undefined);
    expect(operation.responses[route.status]?.content !== undefined).toBe(route.reply !== undefined);
  });

  test.each(named)('%s names every refusal it can answer with', (id, { operation }) => {
    const route = routes[id];
    if (!route) throw new Error('no such route');
    for (const code of codesOf(route)) {
      expect(operation.responses[codes[code].status]?.description).toContain(`\`${code}\``);
    }
    for (const [status, response] of Object.entries(operation.responses)) {
      if (Number(status) >= 400) expect(Object.keys(response.content ?? {})).toEqual(['application/problem+json']);
    }
  });

  test('gives every error code a use, so that none is documented that nobody meets', () => {
    const used = new Set(Object.values(routes).flatMap(codesOf));
    expect(Object.keys(codes).filter((code) => !used.has(code as keyof typeof codes))).toEqual([]);
  });
});

describe('the page that shows it', () => {
  const page = docsPage(document);

  test('shows every operation, every shape and every code', () => {
    for (const { operation } of operations) expect(page).toContain(`id="${(operation as Operation).operationId}"`);
    for (const name of Object.keys(document.components.schemas)) expect(page).toContain(`id="schema-${name}"`);
    for (const code of new Set(Object.values(routes).flatMap(codesOf))) expect(page).toContain(`<code>${code}</code>`);
  });

  test('takes nothing from elsewhere and runs nothing', () => {
    expect(page).not.toMatch(/<script|<link|<img|@import|url\(|\bon\w+="|https?:\/\//i);
  });

  test('tells no other site where its reader was', () => {
    expect(page).toContain('<meta name="referrer" content="no-referrer">');
  });

  test('has no link that leads nowhere', () => {
    for (const [, id] of page.matchAll(/href="#([^"]+)"/g)) expect(page).toContain(`id="${id}"`);
  });
});
