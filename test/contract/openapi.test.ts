/** The OpenAPI document, `serverless.yml` and the handlers describe one and the same API. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { BusEvent, catalog, type EventDetail, type EventName } from '#events/catalog.ts';
import { newEvent } from '#events/outbox.ts';
import { apiDocument } from '#functions/http/document.ts';
import { routes } from '#functions/http/routes.ts';
import { handlerOf } from '#local/function-host.ts';
import { readDeclared } from '#local/serverless-config.ts';
import { projectRoot } from '#local/state-folder.ts';
import { apiReferencePage, contentSecurityPolicy } from '#operations/api-reference.ts';
import { apiReferenceScript } from '#operations/scalar-script.ts';
import { forbiddenNames } from '#platform/handlers/json.ts';
import { codesOf } from '#platform/handlers/openapi.ts';
import type { OpenApiDocument } from '#platform/handlers/openapi-examples.ts';
import { takesOutside } from '#platform/handlers/route.ts';
import type { SeveralRoutes } from '#platform/handlers/several-routes.ts';
import { closingCodes, codes, Facts } from '#platform/kernel/errors.ts';
import { operatorRoles } from '#platform/security/roles.ts';
import { asId } from '#test/support/ids.ts';
import { messagesOf } from '#webhooks/message.ts';

const declared = (await readDeclared()).functions.filter((one) => one.routes.length > 0);
const document = apiDocument();

const declaredLines = declared.flatMap(({ routes: lines }) => lines.map(({ method, path }) => `${method} ${path}`));
const nameOf = (method: string, path: string) =>
  Object.entries(routes).find(([, route]) => route.method === method && route.path === path)?.[0];
type Operation = NonNullable<NonNullable<OpenApiDocument['paths']>[string]['get']>;
const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
  Object.entries(methods as Record<string, Operation>).map(([method, operation]) => ({ path, method, operation })),
);
const components = document.components as Record<string, Record<string, unknown>>;
/** What a reference leads to, or the thing itself if it is none. */
function resolved(value: unknown): Record<string, unknown> {
  const { $ref } = value as { $ref?: string };
  const [, , part = '', name = ''] = $ref?.split('/') ?? [];
  return ($ref === undefined ? value : components[part]?.[name]) as Record<string, unknown>;
}

describe('one API', () => {
  test('allows no names of fields that no JSON here may have', () => {
    const patterns = JSON.stringify(document).matchAll(/"propertyNames":\{[^{}]*"pattern":("(?:[^"\\]|\\.)*")/g);
    const allowing = [...patterns].map(([, pattern = '']) => new RegExp(JSON.parse(pattern), 'u'));
    expect(allowing.length).toBeGreaterThan(0);
    for (const name of forbiddenNames) expect([name, allowing.filter((one) => one.test(name))]).toEqual([name, []]);
  });

  test('says of what may be one of several things what each of them means', () => {
    const silent: string[] = [];
    let unions = 0;
    const look = (value: unknown, place: string): void => {
      if (typeof value !== 'object' || value === null) return;
      const { anyOf, oneOf, description } = value as { anyOf?: object[]; oneOf?: object[]; description?: string };
      // What may be null is one thing, or none.
      const things = [...(anyOf ?? []), ...(oneOf ?? [])].filter((one) => !('type' in one) || one.type !== 'null');
      if (things.length > 1) {
        unions++;
        if (!description && !things.every((one) => '$ref' in one || 'description' in one)) silent.push(place);
      }
      for (const [name, part] of Object.entries(value)) look(part, `${place}/${name}`);
    };
    look(document, '');
    expect(unions).toBeGreaterThan(5);
    expect(silent).toEqual([]);
  });

  test('every route of serverless.yml is in routes.ts, and the other way round', () => {
    const lines = Object.values(routes).map(({ method, path }) => `${method} ${path}`);
    expect(lines.sort()).toEqual([...declaredLines].sort());
  });

  test.each(declared.filter(({ routes: lines }) => lines.length > 1).map((one) => [one.key, one] as const))(
    '%s, which has several routes, serves those',
    async (_key, one) => {
      const { url, name } = handlerOf(one);
      const { serves } = (await import(url))[name] as SeveralRoutes;
      expect([...serves].sort()).toEqual(one.routes.map(({ method, path }) => `${method} ${path}`).sort());
    },
  );

  test('and every one is in the document, under its name', () => {
    const lines = operations.map(
      ({ path, method, operation }) => `${operation.operationId}: ${method.toUpperCase()} ${path}`,
    );
    expect(lines.sort()).toEqual(
      Object.entries(routes)
        .map(([name, { method, path }]) => `${name}: ${method} ${path}`)
        .sort(),
    );
  });

  test.each(declared.map((one) => [one.key, one] as const))(
    'the function %s serves what it is named for',
    (key, one) => {
      const names = one.routes.map(({ method, path }) => nameOf(method, path));
      const text = readFileSync(`${handlerOf(one).path}.ts`, 'utf8');
      const imported = [...text.matchAll(/^import \{ handler as \w+ \} from '\.\/([\w-]+)\.ts';$/gm)].map(
        ([, name]) => name,
      );
      // One that serves several is made of their handlers: of operators' calls, or of none of them.
      if (imported.length === 0) expect(names).toEqual([key]);
      else expect([...names].sort()).toEqual(imported.sort());
      const kinds = imported.map((name) => operatorRoles.some((role) => role === routes[name ?? '']?.auth));
      expect([...new Set(kinds)]).toEqual(imported.length === 0 ? [] : [key.startsWith('operate-')]);
    },
  );

  test.each(declared.map((one) => [one.key, one] as const))('the function %s can be loaded', async (_key, one) => {
    const { url, name } = handlerOf(one);
    expect(typeof (await import(url))[name]).toBe('function');
  });
});

describe('docs/operations.md', () => {
  const text = readFileSync(join(projectRoot, 'docs/operations.md'), 'utf8');

  test.each(operatorRoles)('says what a %s may do beyond the roles before it', (role) => {
    const [, cell = ''] = new RegExp(`^\\| \`${role}\` *\\|(.*)\\|$`, 'm').exec(text) ?? [];
    const wanted = Object.values(routes)
      .filter(({ auth }) => auth === role)
      .map(({ method, path }) => `${method} ${path}`);
    expect([...cell.matchAll(/`([^`]+)`/g)].map(([, line]) => line)).toEqual(wanted.sort());
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
      expect([ref, resolved({ $ref: ref }) !== undefined]).toEqual([ref, true]);
    }
  });

  test('has only schemas that a validator understands', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema(document, 'api');
    for (const name of Object.keys(components.schemas ?? {})) {
      expect(() => ajv.compile({ $ref: `api#/components/schemas/${name}` })).not.toThrow();
    }
  });

  const named = operations.map((one) => [one.operation.operationId ?? '', one] as const);

  test.each(named)('%s says what it is, who may call it, and what it takes', (id, { path, operation }) => {
    const route = routes[id];
    if (!route) throw new Error('no such route');
    expect(operation.summary?.length).toBeGreaterThan(5);
    const asked = { none: [], optional: [{}, { accessToken: [] }] } as Record<string, object[]>;
    const outside = takesOutside(route) ? [{ issuerToken: [] }] : [];
    const programs = route.scope ? [{ apiKey: [] }] : [];
    expect(operation.security).toEqual(asked[route.auth] ?? [{ accessToken: [] }, ...outside, ...programs]);
    if (route.scope) expect(operation.description).toContain(`\`${route.scope}\``);
    expect(operation.description).toContain(
      {
        none: 'everyone',
        optional: 'everyone',
        customer: 'customers',
        viewer: 'viewers',
        operator: 'operators',
        admin: 'admins',
      }[route.auth],
    );
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const parameters = (operation.parameters ?? []).map(resolved);
    expect(parameters.filter((one) => one.in === 'path').map(({ name }) => name)).toEqual(inPath);
    const key = parameters.find(({ name }) => name === 'Idempotency-Key');
    expect(key && [key.in, key.required ?? false]).toEqual(
      route.idempotent ? ['header', route.idempotent === true] : undefined,
    );
    expect(operation.requestBody !== undefined).toBe((route.body ?? route.sends) !== undefined);
    expect(contentOf(operation.responses?.[`${route.status}`]) !== undefined).toBe(route.reply !== undefined);
  });

  test.each(named)('%s shows an example of its body that it would take', (id, { operation }) => {
    const { body, sends, bodyType = 'application/json', example } = routes[id] ?? {};
    if (body) expect(body.safeParse(example).error).toBeUndefined();
    const shown = contentOf(operation.requestBody)?.[bodyType]?.example;
    if (!sends) expect(shown).toEqual(example);
    expect(shown !== undefined).toBe((body ?? sends) !== undefined);
  });

  test.each(named)('%s names every refusal it can answer with', (id, { operation }) => {
    const route = routes[id];
    if (!route) throw new Error('no such route');
    for (const [status, response] of Object.entries(operation.responses ?? {})) {
      if (Number(status) < 400) continue;
      // The gateway's own refusal, of an operation that refuses nobody.
      if (contentOf(response) === undefined && status === '429') continue;
      const ofStatus = codesOf(route).filter((code) => codes[code].status === Number(status));
      const content = contentOf(response);
      expect(Object.keys(content ?? {})).toEqual(['application/problem+json']);
      const { schema, examples = {} } = content?.['application/problem+json'] ?? {};
      expect(schema).toEqual({ $ref: '#/components/schemas/Problem' });
      expect(Object.keys(examples)).toEqual(ofStatus);
      for (const code of ofStatus) {
        expect(resolved(response).description).toContain(`\`${code}\``);
        expect(resolved(examples[code]).value).toMatchObject({ code, status: Number(status) });
      }
    }
    const documented = codesOf(route).filter((code) => operation.responses?.[`${codes[code].status}`] !== undefined);
    expect(documented).toEqual(codesOf(route));
  });

  test('names what a program goes on with after a refusal', () => {
    const { properties = {} } = (components.schemas?.Problem ?? {}) as { properties?: object };
    expect(Object.keys(properties)).toEqual(expect.arrayContaining(Object.keys(Facts.shape)));
  });

  test('names every code in the one schema of problems, and shows an example of each that fits it', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema(document, 'api');
    const isProblem = ajv.compile({ $ref: 'api#/components/schemas/Problem' });
    expect(components.schemas?.Problem).toMatchObject({ properties: { code: { enum: Object.keys(codes) } } });
    const answered = new Set(Object.values(routes).flatMap(codesOf));
    expect(Object.keys(components.examples ?? {}).sort()).toEqual([...answered].sort());
    for (const example of Object.values(components.examples ?? {}))
      expect(isProblem(resolved(example).value)).toBe(true);
  });

  test('uses every error code, so that none is documented that never occurs', () => {
    const used = new Set([...Object.values(routes).flatMap(codesOf), ...closingCodes]);
    expect(Object.keys(codes).filter((code) => !used.has(code as keyof typeof codes))).toEqual([]);
  });
});

describe('the webhooks that are sent', () => {
  test('are in the document, one for each event and the test of an endpoint, and what is sent fits it', () => {
    expect(Object.keys(document.webhooks ?? {}).sort()).toEqual([...Object.keys(catalog), 'webhook.test'].sort());
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema(document, 'api');
    const id = '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b';
    const stock = {
      saleId: id,
      epoch: 1,
      version: 2,
      allotment: 3,
      available: 1,
      allocated: 1,
      sold: 1,
      waitlisted: 0,
    };
    const change = { saleId: id, from: 'requested', to: 'allocated', deadlineMs: 1_800_000_000_000 };
    const details: { [Name in EventName]: EventDetail<Name> } = {
      'reservations.changed': {
        changes: [
          {
            ...change,
            from: 'requested',
            to: 'allocated',
            moves: [[asId(id), asId(id), 1, 1, 1, 1]],
            saleId: asId(id),
          },
        ],
        stocks: [{ ...stock, saleId: asId(id) }],
        released: false,
      },
      'reservations.reminded': {
        ...{ saleId: asId(id), reason: 'moved-up' },
        recipients: [{ reservationId: asId(id), customerId: asId(id), units: 0, version: 1, position: 2 }],
      },
      'purchase.changed': {
        ...{ purchaseId: asId(id), customerId: asId(id), state: 'refunded', amountMinor: 1, currency: 'EUR' },
        ...{ reservationIds: [asId(id)], version: 3, reason: 'refund_ordered', givenBackMinor: 1 },
      },
      'sale.changed': { saleId: asId(id), phase: 'closed', status: 'active', stock: { ...stock, saleId: asId(id) } },
      'sale.published': { saleId: asId(id), publicFromMs: 1_800_000_000_000, requiresCode: true },
    };
    for (const [name, detail] of Object.entries(details)) {
      const event = newEvent(name as EventName, detail as never, 1_800_000_000_000);
      const messages = messagesOf(BusEvent.parse({ 'detail-type': name, detail: JSON.parse(event.detail) }));
      const [{ body = '' } = {}] = messages;
      const pointer = `api#/webhooks/${name}/post/requestBody/content/application~1json/schema`;
      const validate = ajv.compile({ $ref: pointer });
      expect([name, validate(JSON.parse(body)), validate.errors]).toEqual([name, true, null]);
    }
  });
});

/** The media types of a body or a response. */
function contentOf(described: unknown): Record<string, Media> | undefined {
  return described === undefined ? undefined : (resolved(described).content as Record<string, Media> | undefined);
}
interface Media {
  schema?: unknown;
  example?: unknown;
  examples?: Record<string, unknown>;
}

describe('the page that shows it', () => {
  test('takes its script and the document from this API, and nothing from elsewhere', () => {
    const addresses = [...apiReferencePage.matchAll(/(?:src|href|url)(?:="|&quot;:&quot;)(\/[^"&]+)/g)].map(
      ([, address]) => address,
    );
    expect(addresses).toEqual(['/openapi.json', '/docs/scalar.js']);
    expect(Object.values(routes).map(({ path }) => path)).toEqual(expect.arrayContaining(addresses));
    expect(apiReferencePage).not.toMatch(/https?:|\bon\w+="|<style/i);
  });

  test('lets no script run but that one, and lets it call no other origin', () => {
    const policy = new Map(contentSecurityPolicy.split('; ').map((one) => one.split(/ (.*)/) as [string, string]));
    expect(policy.get('default-src')).toBe("'none'");
    expect(policy.get('script-src')).toBe("'self'");
    expect(policy.get('connect-src')).toBe("'self'");
  });

  test('sends no referrer to other sites', () => {
    expect(apiReferencePage).toContain('<meta name="referrer" content="no-referrer">');
  });

  test('has a script that is the whole of Scalar and that Lambda can answer with', async () => {
    const compressed = await apiReferenceScript();
    expect(gunzipSync(compressed).toString()).toContain('createApiReference');
    // In base64 it must stay below the 6 MB of a response.
    expect(compressed.length).toBeLessThan(4_000_000);
  });
});
