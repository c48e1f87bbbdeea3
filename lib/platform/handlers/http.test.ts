/** The HTTP wrapper without anything behind it: what it refuses, what it hands on, what it answers. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import * as z from 'zod';
import { codes, Fault, refuse } from '#platform/kernel/errors.ts';
import { koreanTitles } from '#platform/kernel/korean-titles.ts';
import { Id, line } from '#platform/kernel/shapes.ts';
import { BreakerOpen } from '#platform/resilience/circuit-breaker.ts';
import { openTokens, type Tokens } from '#platform/security/access-token.ts';
import { asId } from '#test/support/ids.ts';
import { maxJsonBytes } from './body.ts';
import { type Call, type HttpHandler, httpHandler, Reply } from './http.ts';
import { defineRoute } from './route.ts';

const id = asId('0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b');
let folder: string;
let tokens: Tokens;
let customer: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-http-'));
  const key = JSON.stringify(generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }));
  process.env.HOLDFAST_REGISTRY = join(folder, 'registry.json');
  writeFileSync(process.env.HOLDFAST_REGISTRY, JSON.stringify({ 'secret/token-signing-key': key }));
  tokens = await openTokens(key, Date.now);
  customer = await tokens.issue({ customerId: id, role: 'customer' });
});

afterAll(() => rmSync(folder, { recursive: true }));

const route = defineRoute({
  method: 'POST',
  path: '/things/{thingId}',
  summary: 'Test',
  tag: 'Test',
  auth: 'customer',
  params: z.strictObject({ thingId: Id }),
  query: z.strictObject({ limit: z.string().regex(/^\d+$/).optional() }),
  body: z.strictObject({ name: line(1, 40), amount: z.int().min(1).max(1_000) }),
  idempotent: true,
  status: 201,
  reply: z.object({ name: z.string() }),
  refusals: ['sold_out'],
});

type Received = Call<{ thingId: string }, { limit?: string }, { name: string; amount: number }>;
let received: Received | undefined;
const handler = httpHandler(route, async (call) => {
  received = call;
  return { name: call.body.name };
});

const good = { name: 'Ada', amount: 5 };

interface Given {
  body?: string | number | boolean | null;
  base64?: boolean;
  headers?: Record<string, string | undefined>;
  params?: Record<string, string>;
  query?: Record<string, string>;
}

async function send(given: Given = {}, to: HttpHandler = handler) {
  received = undefined;
  const event = {
    rawPath: `/things/${id}`,
    headers: {
      authorization: `Bearer ${customer}`,
      'content-type': 'application/json',
      'idempotency-key': 'key-1',
      ...given.headers,
    },
    pathParameters: given.params ?? { thingId: id },
    queryStringParameters: given.query,
    body: given.body === undefined ? JSON.stringify(good) : given.body,
    isBase64Encoded: given.base64 ?? false,
    requestContext: { http: { sourceIp: '203.0.113.7' } },
  } as unknown as APIGatewayProxyEventV2;
  const { statusCode, headers, body = '' } = await to(event, {} as Context);
  return { status: statusCode, headers: (headers ?? {}) as Record<string, string>, body: body && JSON.parse(body) };
}

async function refusal(given: Given) {
  const { status, body, headers } = await send(given);
  expect(headers['content-type']).toBe('application/problem+json');
  expect(body).toMatchObject({ type: `urn:holdfast:problem:${body.code}`, status, instance: `/things/${id}` });
  expect(received).toBeUndefined();
  return [status, body.code];
}

const base64 = (bytes: string | Uint8Array) => Buffer.from(bytes).toString('base64');

test('a problem has its title in the language that is asked for, and in English otherwise', async () => {
  const titled = async (language: string) =>
    (await send({ body: '{', headers: { 'accept-language': language } })).body.title;
  expect(await titled('ko-KR,ko;q=0.9,en;q=0.8')).toBe(koreanTitles.invalid_json);
  for (const language of ['en', 'fr,ko;q=0', '']) expect(await titled(language)).toBe(codes.invalid_json.title);
});

describe('the input of a verb', () => {
  test('is checked and typed', async () => {
    const { status, body, headers } = await send({ query: { limit: '5' } });
    expect([status, body]).toEqual([201, { name: 'Ada' }]);
    expect(headers['content-type']).toBe('application/json');
    expect(received).toMatchObject({
      caller: { customerId: id, role: 'customer' },
      params: { thingId: id },
      query: { limit: '5' },
      body: good,
      idempotencyKey: 'key-1',
      sourceIp: '203.0.113.7',
    });
  });

  test.each([
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
    'Application/JSON',
    'application/json; charset=utf8; profile=x',
  ])('comes as %s too', async (type) => {
    expect((await send({ headers: { 'content-type': type } })).status).toBe(201);
  });

  test('may come in base64', async () => {
    expect((await send({ base64: true, body: base64(JSON.stringify({ ...good, name: 'Ødegård 😀' })) })).body).toEqual({
      name: 'Ødegård 😀',
    });
  });

  test('may be exactly as large as allowed, and not a byte larger', async () => {
    const padded = (size: number) => JSON.stringify(good).padEnd(size, ' ');
    expect((await send({ body: padded(maxJsonBytes) })).status).toBe(201);
    expect((await send({ base64: true, body: base64(padded(maxJsonBytes)) })).status).toBe(201);
    expect(await refusal({ body: padded(maxJsonBytes + 1) })).toEqual([413, 'payload_too_large']);
    expect(await refusal({ base64: true, body: base64(padded(maxJsonBytes + 1)) })).toEqual([413, 'payload_too_large']);
    // Fewer characters than allowed, but more bytes.
    const wide = JSON.stringify({ ...good, name: 'é'.repeat(10_000) });
    expect(await refusal({ body: wide })).toEqual([413, 'payload_too_large']);
  });
});

describe('bodies that are refused', () => {
  test.each<[string, string | undefined]>([
    ['form', 'application/x-www-form-urlencoded'],
    ['text', 'text/plain'],
    ['XML', 'application/xml'],
    ['nothing', undefined],
    ['an empty type', ''],
    ['another charset', 'application/json; charset=utf-16'],
    ['latin 1', 'application/json; charset=iso-8859-1'],
    ['a type that only begins alike', 'application/jsonx'],
    ['two types', 'text/plain, application/json'],
  ])('of type %s', async (_what, type) => {
    expect(await refusal({ headers: { 'content-type': type } })).toEqual([415, 'unsupported_media_type']);
  });

  test('that are compressed', async () => {
    const body = gzipSync(JSON.stringify(good)).toString('base64');
    const headers = { 'content-encoding': 'gzip' };
    expect(await refusal({ body, base64: true, headers })).toEqual([415, 'unsupported_media_type']);
  });

  test.each<[string, string | Uint8Array]>([
    ['bytes that are not UTF-8', Uint8Array.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])],
    ['an overlong encoding', Uint8Array.from([0x22, 0xc0, 0xaf, 0x22])],
    ['half a surrogate pair', Uint8Array.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
  ])('for %s', async (_what, bytes) => {
    expect(await refusal({ body: base64(bytes), base64: true })).toEqual([400, 'invalid_input']);
  });

  test('with a replacement character, by which a gateway replaces invalid bytes', async () => {
    expect(await refusal({ body: '{"name":"A\ufffd","amount":1}' })).toEqual([400, 'invalid_input']);
  });

  test.each([
    ['empty', ''],
    ['broken', '{"name":'],
    ['deep', `${'['.repeat(1_000)}${']'.repeat(1_000)}`],
    ['twice the same name', '{"name":"Ada","amount":1,"amount":2}'],
    ['with a prototype', '{"name":"Ada","amount":1,"__proto__":{"role":"operator"}}'],
  ])('for being %s', async (_what, body) => {
    expect(await refusal({ body })).toEqual([400, 'invalid_json']);
  });

  test.each([
    ['null', 'null'],
    ['a list', '[]'],
    ['a string', '"Ada"'],
    ['an unknown field', '{"name":"Ada","amount":1,"admin":true}'],
    ['a refusal of its own', '{"refused":"internal","detail":"x"}'],
    ['a missing field', '{"name":"Ada"}'],
    ['zero', '{"name":"Ada","amount":0}'],
    ['a negative amount', '{"name":"Ada","amount":-1}'],
    ['a fraction', '{"name":"Ada","amount":1.5}'],
    ['a number as text', '{"name":"Ada","amount":"1"}'],
    ['infinity', '{"name":"Ada","amount":1e309}'],
    ['a number beyond the exact ones', '{"name":"Ada","amount":9007199254740993}'],
    ['more than is allowed', '{"name":"Ada","amount":1001}'],
    ['an object as a value', '{"name":{"$ne":null},"amount":1}'],
    ['a list as a value', '{"name":["Ada"],"amount":[1]}'],
    ['NUL', '{"name":"A\\u0000","amount":1}'],
    ['CR and LF', '{"name":"Ada\\r\\nSet-Cookie: x","amount":1}'],
    ['half an emoji', '{"name":"\\ud83d","amount":1}'],
    ['text that turns its direction', '{"name":"Ada\\u202eadA","amount":1}'],
    ['only blanks', '{"name":"   ","amount":1}'],
  ])('for holding %s', async (_what, body) => {
    expect(await refusal({ body })).toEqual([400, 'invalid_input']);
  });

  test.each([
    ['0', 0],
    ['false', false],
    ['null', null],
    ['""', ''],
  ])('for being %s, as the local gateway passes it on', async (text, passedOn) => {
    const headers = { 'content-length': String(text.length) };
    const optional = httpHandler({ ...route, bodyOptional: true }, async () => ({ name: 'missing' }));
    for (const to of [handler, optional]) {
      const { status, body } = await send({ body: passedOn, headers }, to);
      expect([status, body.code]).toEqual([400, 'invalid_input']);
    }
  });

  test('where none is taken, unless it asks for nothing', async () => {
    const { body: _, ...bodiless } = route;
    const to = httpHandler(bodiless, async () => ({ name: 'done' }));
    const answer = async (given: Given) => (await send(given, to)).status;
    for (const body of [null, '', ' ', '{}', '{ }\n']) expect([body, await answer({ body })]).toEqual([body, 201]);
    expect(await answer({ body: base64('{}'), base64: true })).toBe(201);
    for (const body of ['{"keepTimes":true}', '[]', 'x', 0])
      expect([body, await answer({ body })]).toEqual([body, 400]);
    expect(await answer({ body: base64('{"keepTimes":true}'), base64: true })).toBe(400);
  });

  test('name the invalid fields, within limits', async () => {
    const { body } = await send({ body: '{"name":"","amount":0}' });
    expect(body.fields.map(({ field }: { field: string }) => field)).toEqual(['name', 'amount']);
    const long = await send({ body: JSON.stringify({ ...good, ['x'.repeat(10_000)]: 1 }) });
    expect(JSON.stringify(long.body).length).toBeLessThan(2_000);
  });
});

describe('addresses, keys and callers that are refused', () => {
  test.each([
    ['text', 'x'],
    ['an id in capitals', id.toUpperCase()],
    ['an id and a digit', `${id}0`],
    ['an id and NUL', `${id}\0`],
    ['an id and a line break', `${id}\n`],
    ['blanks', ' '.repeat(36)],
    ['10,000 digits', '9'.repeat(10_000)],
    ['SQL', "' OR 1=1 --"],
    ['a path', '../../etc/passwd'],
    ['emoji', '😀'.repeat(9)],
    ['an id with a Cyrillic letter', id.replace('a', 'а')],
    ['an object', '{}'],
  ])('an address that is %s', async (_what, thingId) => {
    expect(await refusal({ params: { thingId } })).toEqual([404, 'not_found']);
  });

  test('query parameters that are unknown, or of the wrong type', async () => {
    expect(await refusal({ query: { sort: 'id; DROP TABLE sales' } })).toEqual([400, 'invalid_input']);
    expect(await refusal({ query: { limit: '1,2' } })).toEqual([400, 'invalid_input']);
  });

  test.each([
    ['missing', undefined],
    ['empty', ''],
    ['blank', ' '],
    ['two words', 'a b'],
    ['beyond ASCII', 'a\u00e9'],
    ['NUL', 'a\0'],
    ['a line break', 'a\n'],
    ['of 256 characters', 'x'.repeat(256)],
    ['emoji', '😀'],
  ])('an Idempotency-Key that is %s', async (_what, key) => {
    expect(await refusal({ headers: { 'idempotency-key': key } })).toEqual([400, 'idempotency_key_missing']);
  });

  test.each([
    ['nothing', () => undefined],
    ['another scheme', () => `Basic ${customer}`],
    ['two tokens', () => `Bearer ${customer},${customer}`],
    ['a line break', () => `Bearer ${customer}\r\n`],
    ['a very long one', () => `Bearer ${'a'.repeat(10_000)}`],
    ['a made-up one', () => 'Bearer a.b.c'],
  ])('a sign-in with %s is refused', async (_what, authorization) => {
    const { status, body, headers } = await send({ headers: { authorization: authorization() } });
    expect([status, body.code]).toEqual([401, 'unauthenticated']);
    expect(headers['www-authenticate']).toBe('Bearer');
    expect(received).toBeUndefined();
  });

  test.each(['bearer', 'BEARER', 'Bearer  '])('a scheme that is written "%s" is understood', async (scheme) => {
    expect((await send({ headers: { authorization: `${scheme} ${customer}` } })).status).toBe(201);
  });

  test('customers on an operators’ route', async () => {
    const { method, path, summary, tag, status, refusals } = route;
    const closed = httpHandler(
      { method, path, summary, tag, status, refusals, auth: 'operator' },
      async () => undefined,
    );
    expect((await send({}, closed)).body.code).toBe('forbidden');
    const token = await tokens.issue({ customerId: id, role: 'operator' });
    expect((await send({ headers: { authorization: `Bearer ${token}` } }, closed)).status).toBe(201);
  });
});

describe('answers', () => {
  const answering = (run: () => unknown) =>
    send(
      {},
      httpHandler(route, async () => run() as { name: string }),
    );

  test('carry a correlation id: the caller’s if it is harmless, otherwise a new one', async () => {
    const given = await send({ headers: { 'x-correlation-id': 'click-12345678' } });
    expect(given.headers['x-correlation-id']).toBe('click-12345678');
    for (const bad of ['short', 'a\r\nb'.repeat(4), '"} {"level":"error"', 'x'.repeat(65)]) {
      const { headers } = await send({ headers: { 'x-correlation-id': bad } });
      expect(headers['x-correlation-id']).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  test('forbid caching and content sniffing', async () => {
    const { headers } = await send();
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  });

  test('may have headers of their own', async () => {
    const { headers } = await answering(() => new Reply({ name: 'x' }, { location: '/things/1' }));
    expect(headers.location).toBe('/things/1');
  });

  test('of bytes are sent in base64, as the gateway requires', async () => {
    const { method, path, summary, tag, status, refusals } = route;
    const bytes = { method, path, summary, tag, status, refusals, auth: 'none', reply: z.instanceof(Buffer) } as const;
    const serve = httpHandler({ ...bytes, replyType: 'image/png' }, async () => Buffer.from([0, 255]));
    const event = { rawPath: '/', headers: {}, requestContext: { http: {} } } as unknown as APIGatewayProxyEventV2;
    expect(await serve(event, {} as Context)).toMatchObject({
      statusCode: 201,
      headers: { 'content-type': 'image/png' },
      body: 'AP8=',
      isBase64Encoded: true,
    });
  });

  test('that are refusals say why, and when to retry', async () => {
    const soldOut = await answering(() => refuse('sold_out', 'Nothing is left.'));
    expect([soldOut.status, soldOut.body.code, soldOut.body.detail]).toEqual([409, 'sold_out', 'Nothing is left.']);
    expect(soldOut.headers['retry-after']).toBeUndefined();
    const tooMany = await answering(() => refuse('too_many_requests', 'Wait.', { retryAfterSeconds: 7 }));
    expect([tooMany.status, tooMany.headers['retry-after']]).toEqual([429, '7']);
  });

  test.each<[string, () => unknown, number, string]>([
    ['a mistake of ours', () => new TypeError('secret at /home/app/x.ts:1'), 500, 'internal'],
    ['a fault', () => new Fault('queue_unavailable', 'sqs.internal is unavailable'), 503, 'queue_unavailable'],
    [
      'a database that is unavailable',
      () => Object.assign(new Error(), { code: 'ECONNREFUSED' }),
      503,
      'store_unavailable',
    ],
    ['a full disk', () => Object.assign(new Error('secret'), { errno: 1021 }), 503, 'store_unavailable'],
    ['a primary that was demoted', () => Object.assign(new Error(), { errno: 1836 }), 503, 'store_unavailable'],
    [
      'an error that it caused',
      () => new Error('x', { cause: { code: 'PROTOCOL_CONNECTION_LOST' } }),
      503,
      'store_unavailable',
    ],
    ['an open breaker', () => new BreakerOpen('mysql', undefined), 503, 'store_unavailable'],
    [
      'an invocation that ran out of time',
      () => Object.assign(new Error(), { name: 'TimeoutError' }),
      503,
      'store_unavailable',
    ],
    ['something that is no error', () => 'secret', 500, 'internal'],
  ])('for %s say nothing about the inside', async (_what, thrown, status, code) => {
    const answer = await answering(() => {
      throw thrown();
    });
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(answer.headers['retry-after']).toBeDefined();
    expect(JSON.stringify(answer)).not.toMatch(/secret|\.ts|internal is unavailable| at /);
  });
});
