/**
 * The documents of the API as programs read them: linters find nothing, answers may grow, every operation has examples, and what
 * is sent fits what they say.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Parser } from '@asyncapi/parser';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import spectralCore from '@stoplight/spectral-core';
import rulesets from '@stoplight/spectral-rulesets';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { BusEvent, catalog, type EventDetail, type EventName } from '#events/catalog.ts';
import { groupChanges } from '#events/changes.ts';
import { newEvent } from '#events/outbox.ts';
import { apiDocument, messagesDocument } from '#functions/http/document.ts';
import { routes } from '#functions/http/routes.ts';
import { projectRoot } from '#local/state-folder.ts';
import { serverMessages } from '#notification/notification.shapes.ts';
import { liveOf } from '#notification/push-changes.ts';
import { apiVersion } from '#platform/handlers/openapi.ts';
import { closingCodes } from '#platform/kernel/errors.ts';
import { newId } from '#test/support/ids.ts';
import { generateClient } from '../support/python-client.ts';

const document = apiDocument();
const text = JSON.stringify(document);
/** Each takes some seconds of a processor of its own. */
const linterMs = 240_000;

interface Operation {
  operationId: string;
  summary: string;
  description: string;
  parameters?: { $ref?: string; example?: unknown }[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { content?: Record<string, Media>; links?: Record<string, { operationId: string }> }>;
}
interface Media {
  schema?: object;
  example?: unknown;
  examples?: object;
}
const operations = Object.values(document.paths ?? {}).flatMap((item) => Object.values(item)) as unknown as Operation[];
const named = operations.map((operation) => [operation.operationId, operation] as const);

describe('linters', () => {
  test(
    'Spectral finds nothing by spectral:oas',
    async () => {
      const spectral = new spectralCore.Spectral();
      spectral.setRuleset({ extends: [[rulesets.oas, 'recommended']] } as never);
      const found = await spectral.run(JSON.parse(text));
      expect(found.map(({ code, message, path }) => `${code}: ${message} (${path.join('/')})`)).toEqual([]);
    },
    linterMs,
  );

  test(
    'Redocly finds nothing by its recommended rules',
    async () => {
      const config = await createConfig({ extends: ['recommended'] });
      const found = await lintFromString({ source: text, absoluteRef: '/openapi.json', config });
      expect(found.map(({ ruleId, message, location }) => `${ruleId}: ${message} (${location[0]?.pointer})`)).toEqual(
        [],
      );
    },
    linterMs,
  );

  test(
    'the parser of AsyncAPI finds nothing',
    async () => {
      const { document: parsed, diagnostics } = await new Parser().parse(JSON.stringify(messagesDocument()));
      expect(diagnostics.map(({ code, message, path }) => `${code}: ${message} (${path.join('/')})`)).toEqual([]);
      expect(parsed?.messages().all().length).toBeGreaterThan(10);
    },
    linterMs,
  );
});

describe('generators', () => {
  test('understand every schema: one value is an enumeration of one, and what is forbidden is forbidden once', () => {
    const found: string[] = [];
    JSON.stringify(document, (key, value) => {
      if (key === 'const' || key === 'allOf' || key === 'not') found.push(key);
      if (value?.$ref && Object.keys(value).some((one) => one !== '$ref' && one !== 'description'))
        found.push(value.$ref);
      return value;
    });
    expect(found).toEqual([]);
  });

  test('find each answer and each body in JSON under a name', () => {
    const unnamed = operations.flatMap(({ operationId, requestBody, responses }) =>
      [requestBody?.content, ...Object.values(responses).map(({ content }) => content)].flatMap((content) => {
        const schema = content?.['application/json']?.schema;
        return schema === undefined || '$ref' in schema ? [] : [operationId];
      }),
    );
    // These are documents themselves.
    expect(unnamed.sort()).toEqual(['get-asyncapi', 'get-openapi']);
  });

  test(
    'the generator of Python clients leaves nothing out, and its clients understand every refusal',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'holdfast-python-client-'));
      try {
        const file = join(folder, 'openapi.json');
        writeFileSync(file, text);
        const made = await generateClient(file, join(folder, 'client'));
        if (made === undefined) return;
        expect(made.leftOut).toEqual([]);
        const modules = readdirSync(join(folder, 'client', 'api'), { recursive: true, encoding: 'utf8' })
          .filter((name) => name.endsWith('.py') && !name.endsWith('__init__.py'))
          .map((name) => readFileSync(join(folder, 'client', 'api', name), 'utf8'));
        expect(modules).toHaveLength(operations.length);
        const read = modules.filter((one) => one.includes('Problem.from_dict(response.json())'));
        const refusing = operations.filter(({ responses }) =>
          Object.values(responses).some(({ content }) => content?.['application/problem+json']),
        );
        expect(read).toHaveLength(refusing.length);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    linterMs,
  );
});

describe('answers may grow', () => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(document, 'api');

  test('no answer forbids a field that it does not know, and every request does', () => {
    const closed: string[] = [];
    const seen = new Set<object>();
    const look = (node: unknown, where: string): void => {
      if (typeof node !== 'object' || node === null || seen.has(node)) return;
      seen.add(node);
      const { $ref, additionalProperties } = node as { $ref?: string; additionalProperties?: unknown };
      if (additionalProperties === false) closed.push(where);
      const [, , , name = ''] = $ref?.split('/') ?? [];
      if ($ref?.includes('/schemas/')) look(document.components?.schemas?.[name], `${where} ${name}`);
      for (const [key, part] of Object.entries(node)) if (key !== 'example' && key !== 'examples') look(part, where);
    };
    for (const { operationId, responses } of operations) look(responses, operationId);
    expect(closed).toEqual([]);
    const open = operations.filter(({ requestBody }) => {
      const { $ref = '' } = (requestBody?.content['application/json']?.schema ?? {}) as { $ref?: string };
      const schema = document.components?.schemas?.[$ref.split('/')[3] ?? ''] as { additionalProperties?: unknown };
      return $ref !== '' && schema.additionalProperties !== false;
    });
    // The provider's messages are not ours to close.
    expect(open.map(({ operationId }) => operationId)).toEqual(['payment-webhook']);
  });

  test('an answer with a field that is new is still as the document says', () => {
    const isSale = ajv.compile({ $ref: 'api#/components/schemas/Sale' });
    const { example } = operations.find(({ operationId }) => operationId === 'get-sale')?.responses['200']?.content?.[
      'application/json'
    ] ?? { example: {} };
    expect(isSale({ ...(example as object), colour: 'brass' })).toBe(true);
  });

  test('the version is that of the package’s policy', () => {
    expect(document.info.version).toBe(apiVersion);
    expect(readFileSync(join(projectRoot, 'docs/api.md'), 'utf8')).toContain(`\`${apiVersion}\``);
  });
});

describe('operations', () => {
  test.each(named)('%s has an example of everything', (_id, { parameters = [], requestBody, responses }) => {
    expect(parameters.filter((one) => one.$ref === undefined && one.example === undefined)).toEqual([]);
    const contents = [requestBody?.content, ...Object.values(responses).map(({ content }) => content)];
    for (const media of contents.flatMap((content) => Object.values(content ?? {}))) {
      expect(media.example ?? media.examples).toBeDefined();
    }
  });

  test('are linked: what names one thing leads to what can be done with it', () => {
    const linked = (id: string) =>
      Object.values(operations.find(({ operationId }) => operationId === id)?.responses ?? {}).flatMap(
        ({ links = {} }) => Object.keys(links),
      );
    expect(linked('create-reservation')).toEqual(
      expect.arrayContaining(['get-reservation', 'reduce-reservation', 'cancel-reservation', 'get-sale']),
    );
    expect(linked('create-purchase')).toEqual(expect.arrayContaining(['get-purchase', 'give-up-purchase']));
    expect(linked('create-reservation')).not.toContain('cancel-sale');
    const known = new Set(operations.map(({ operationId }) => operationId));
    for (const id of known) for (const name of linked(id)) expect(known).toContain(name);
  });

  test('that change something say what a repeated call does', () => {
    const changing = Object.entries(routes).filter(([, { method }]) => method === 'POST');
    const silent = changing.filter(([, { idempotent, repeated }]) => !idempotent && repeated === undefined);
    expect(silent.map(([name]) => name)).toEqual([]);
  });

  test('that are a POST take an Idempotency-Key, but for those that docs/api.md names', () => {
    const text = readFileSync(join(projectRoot, 'docs/api.md'), 'utf8');
    const [, named = ''] = /\nThese POSTs take no key[^\n]*\n([\s\S]*?)\n## /.exec(text) ?? [];
    const keyless = Object.values(routes)
      .filter(({ method, idempotent }) => method === 'POST' && !idempotent)
      .map(({ path }) => `POST ${path}`);
    expect([...named.matchAll(/`(POST [^`]+)`/g)].map(([, call]) => call).sort()).toEqual(keyless.sort());
  });
});

describe('messages of the WebSocket', () => {
  const shapes = Object.values(serverMessages);
  const fits = (message: object) => shapes.filter((shape) => shape.safeParse(message).success).length;

  test('that are pushed are as the document says', () => {
    const saleId = newId();
    const ids = { reservationId: newId(), saleId, customerId: newId() };
    const stock = { saleId, epoch: 1, version: 2, allotment: 9, available: 7, allocated: 2, sold: 0, waitlisted: 0 };
    const changes = groupChanges([
      { ...ids, from: 'waitlisted', to: 'allocated', units: 2, quantity: 2, ticket: 1, version: 2 },
    ]);
    const details: { [Name in EventName]: EventDetail<Name> } = {
      'reservations.changed': { changes, stocks: [stock], released: false },
      'reservations.reminded': {
        ...{ saleId, reason: 'moved-up' },
        recipients: [{ reservationId: newId(), customerId: newId(), units: 0, version: 1, position: 2 }],
      },
      'purchase.changed': {
        ...{ purchaseId: newId(), customerId: newId(), state: 'captured', amountMinor: 1, currency: 'EUR' },
        ...{ reservationIds: [newId()], version: 3 },
      },
      'sale.changed': { saleId, phase: 'closed', status: 'active', stock },
      'sale.published': { saleId, publicFromMs: 1_800_000_000_000, requiresCode: false },
    };
    const pushed = Object.entries(details).filter(([name]) =>
      (catalog[name as EventName].consumers as readonly string[]).includes('notifications'),
    );
    expect(pushed.length).toBeGreaterThan(0);
    for (const [name, detail] of pushed) {
      const event = newEvent(name as EventName, detail as never, 1_800_000_000_000);
      const { forCustomers, forWatchers } = liveOf([
        BusEvent.parse({ 'detail-type': name, detail: JSON.parse(event.detail) }),
      ]);
      const bodies = [
        ...forCustomers.map(({ body }) => ({ ...body, text: 'Done.' })),
        ...forWatchers.map(({ body }) => body),
      ];
      expect(bodies.length).toBeGreaterThan(0);
      for (const body of bodies) expect([body, fits(body)]).toEqual([body, 1]);
    }
  });

  test('that answer a client are as the document says', () => {
    const said = { title: 'A title', detail: 'A detail' };
    for (const message of [
      ...[{ type: 'pong' }, { type: 'authenticated' }, { type: 'watching', saleId: newId() }],
      ...[
        { type: 'unwatched', saleId: newId() },
        { type: 'problem', code: 'not_found', ...said },
      ],
      ...closingCodes.map((code) => ({ type: 'closing', code, ...said })),
    ]) {
      expect([message, fits(message)]).toEqual([message, 1]);
    }
  });
});
