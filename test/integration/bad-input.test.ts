/**
 * Every kind of bad input that this API can receive. Invariant of the whole file: the answer is a 4xx with a code, it
 * shows nothing of the inside, and nothing has changed: no table, no queue, no claim at the gate.
 */

import { createHmac, generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { routes } from '#functions/http/routes.ts';
import { handler as allocate } from '#functions/queue/allocate.ts';
import { queueDepth } from '#platform/aws/sqs.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { Route } from '#platform/handlers/route.ts';
import { codes } from '#platform/kernel/errors.ts';
import { type CustomerId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { type Caller, openTokens } from '#platform/security/access-token.ts';
import { isAtLeast, type Role, roles } from '#platform/security/roles.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi, password, type Sent } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { delivered, givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let operator: string;
/** Somebody of each role. */
let signedIn: Record<Role, string>;
let ada: { customerId: CustomerId; token: string; email: string };
let bob: { customerId: CustomerId; token: string };
let productId: string;
let tables: string[];

/** Sales in every situation, and Ada's reservations in them. */
const sale: Record<string, SaleId> = {};
const reservation: Record<string, string> = {};
const hourMs = 3_600_000;

beforeAll(async () => {
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
  await redisReady(deps.redis);
  tables = (await deps.db.rows<Record<string, string>>('SHOW TABLES')).map((row) => Object.values(row)[0] ?? '');
  operator = await api.operator();
  ada = await api.customer();
  bob = await api.customer();
  const [viewer, admin] = [await api.operator('viewer'), await api.operator('admin')];
  signedIn = { customer: ada.token, viewer, operator, admin };
  const product = { sku: 'CHAIR', name: 'Chair', description: '', price: { amountMinor: 100, currency: 'EUR' } };
  productId = (await api.call('POST /products', { json: product, token: operator })).body.productId;

  const now = Date.now();
  sale.open = await givenSale(deps, { capPerCustomer: 5, allotment: 100 });
  sale.early = await givenSale(deps, {
    reserveOpensAtMs: now + hourMs,
    reserveClosesAtMs: now + 2 * hourMs,
    purchaseOpensAtMs: now + hourMs,
    purchaseClosesAtMs: now + 2 * hourMs,
  });
  sale.late = await givenSale(deps, { reserveOpensAtMs: now - 2 * hourMs, reserveClosesAtMs: now - hourMs });
  sale.notYetSelling = await givenSale(deps, { purchaseOpensAtMs: now + hourMs, purchaseClosesAtMs: now + 2 * hourMs });
  sale.over = await givenSale(deps);
  sale.paused = await givenSale(deps);
  sale.cancelled = await givenSale(deps);
  for (const situation of ['open', 'notYetSelling', 'over', 'paused'] as const) {
    reservation[situation] = await allocated(saleThatIs(situation), situation);
  }
  for (const state of ['purchased', 'cancelled', 'expired', 'refunded'] as const) {
    reservation[state] = await allocated(saleThatIs('over'), state);
    await setReservation(reservation[state], 'state', state);
  }
  reservation.deadlineOver = await allocated(saleThatIs('open'), 'deadline');
  await setReservation(reservation.deadlineOver, 'deadline_ms', now - 1_000);
  await deps.db.change(
    'UPDATE sales SET reserve_opens_at_ms = ?, purchase_opens_at_ms = ?, purchase_closes_at_ms = ? WHERE id = ?',
    [now - 3 * hourMs, now - 2 * hourMs, now - hourMs, toBytes(sale.over ?? '')],
  );
  // The gate learns a sale from the first request for it.
  for (const situation of ['open', 'early', 'late', 'paused', 'cancelled']) {
    const [line, sent] = reserve(situation);
    await api.call(line, { ...sent, token: bob.token, json: { quantity: 1 } });
  }
  // The mirror learns what was changed behind its back from the first list that shows it.
  await api.call('GET /reservations', { token: ada.token });
  await api.call(`POST /sales/${sale.paused}/pause`, { token: operator });
  await api.call(`POST /sales/${sale.cancelled}/cancel`, { token: operator });
  await eventsArrived();
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

function saleThatIs(situation: string): SaleId {
  const saleId = sale[situation];
  if (saleId === undefined) throw new Error(`no sale is ${situation}`);
  return saleId;
}

/** A reservation of Ada's that the worker has allocated. */
async function allocated(saleId: SaleId, key: string): Promise<string> {
  const { message, messageId } = delivered(saleId, { customerId: ada.customerId, key });
  expect(await deliver(allocate, [{ messageId, body: JSON.stringify(message) }])).toEqual([]);
  return message.reservationId;
}

async function setReservation(id: string, column: 'state' | 'deadline_ms', value: string | number): Promise<void> {
  await deps.db.change(`UPDATE reservations SET ${column} = ? WHERE id = ?`, [value, toBytes(id)]);
}

/**
 * Everything that could have changed: the tables, the queues, and the claims at the gate. Not the kept answers: a refusal under a
 * key is kept, so that the call is answered the same again.
 */
async function state(): Promise<unknown> {
  const changing = tables.filter((table) => table !== 'kept_answers');
  const [checksums, depths, claims] = await Promise.all([
    deps.db.rows(`CHECKSUM TABLE ${changing.join(', ')} EXTENDED`),
    allDepths(),
    deps.redis.keys('*claims:*'),
  ]);
  const held = await Promise.all(claims.sort().map(async (key) => [key, await deps.redis.hgetall(key)]));
  return { checksums, depths, held };
}

/**
 * Waits until the events of what was accepted have come to their queues: the bus delivers them later than the call is answered,
 * and what a refusal changes could not be told apart from them. They have once no queue has changed for half a second.
 */
async function eventsArrived(): Promise<void> {
  const depths = async () => JSON.stringify(await allDepths());
  let known = await depths();
  let sinceMs = Date.now();
  const untilMs = sinceMs + 10_000;
  while (Date.now() - sinceMs < 500) {
    if (Date.now() > untilMs) throw new Error('the queues do not come to rest');
    await sleep(50);
    const now = await depths();
    if (now !== known) [known, sinceMs] = [now, Date.now()];
  }
}

/** How many messages each queue has. */
const allDepths = () =>
  Promise.all(
    Object.keys(bed.registry)
      .filter((name) => name.startsWith('queue/'))
      .map(async (name) => [name, await queueDepth(deps.sqs, bed.registry[name] ?? '')]),
  );

/** What every refusal of bad input has in common. */
function expectRefusal({ status, body, headers, text }: Answer, code?: string): void {
  expect(status).toBeGreaterThanOrEqual(400);
  expect(status).toBeLessThan(500);
  expect(Object.keys(codes)).toContain(body.code);
  expect(headers['content-type']).toBe('application/problem+json');
  expect(body.detail.length).toBeGreaterThan(3);
  expect(text).not.toMatch(/\n\s*at |\.ts\b|node_modules|SELECT|INSERT|sql|stack/i);
  expect(text.length).toBeLessThan(4_000);
  if (code !== undefined) expect(body.code).toBe(code);
}

/** Runs what must change nothing. */
async function changingNothing(work: () => Promise<void>): Promise<void> {
  const before = await state();
  await work();
  expect(await state()).toEqual(before);
}

/** One call that must be refused with this code and change nothing. */
function refuses(line: string, sent: Sent, code: string): Promise<void> {
  return changingNothing(async () => expectRefusal(await api.call(line, sent), code));
}

const reserve = (saleId = 'open', sent: Sent = {}) =>
  [`POST /sales/${sale[saleId] ?? saleId}/reservations`, { token: ada.token, key: newId(), ...sent }] as const;
const buy = (reservationIds: unknown, sent: Sent = {}): [string, Sent] => [
  'POST /purchases',
  { token: ada.token, key: newId(), json: { reservationIds, paymentToken: 'tok_approve' }, ...sent },
];

/** A good body for each route that takes JSON; a new route must bring one. */
const goodBodies: Record<string, () => Record<string, unknown>> = {
  register: () => ({ email: 'new@example.com', password, name: 'New' }),
  login: () => ({ email: ada.email, password: 'not the password' }),
  refresh: () => ({ refreshToken: 'unheard of' }),
  logout: () => ({ refreshToken: 'unheard of' }),
  'update-me': () => ({ timeZone: 'Asia/Seoul' }),
  'ask-for-password-code': () => ({ email: 'nobody@example.com' }),
  'reset-password': () => ({ code: 'K7QM-2XRD-9FWP-J3TA', password }),
  'verify-contact': () => ({ code: 'K7QM-2XRD-9FWP-J3TA' }),
  'change-password': () => ({ password: 'not the password', newPassword: password }),
  'delete-account': () => ({ password: 'not the password' }),
  'set-external-id': () => ({ externalId: 'member-4711' }),
  'create-product': () => ({
    sku: 'TABLE',
    name: 'Table',
    description: '',
    price: { amountMinor: 1, currency: 'EUR' },
  }),
  'update-product': () => ({ name: 'Stool' }),
  'add-picture': () => ({ type: 'image/png', bytes: 1, alt: { en: 'A stool', ko: '의자' } }),
  'update-label': () => ({ reference: 'P-1' }),
  'create-sale': () => ({
    productId,
    name: 'Sale',
    allotment: 10,
    capPerCustomer: 2,
    waitlistSize: 0,
    reserveOpensAt: '2030-01-01T00:00:00Z',
    reserveClosesAt: '2030-01-02T00:00:00Z',
    purchaseOpensAt: '2030-01-02T00:00:00Z',
    purchaseClosesAt: '2030-01-03T00:00:00Z',
  }),
  'update-sale': () => ({ name: 'Another name' }),
  'adjust-stock': () => ({ units: 1 }),
  'reschedule-sale': () => ({ shiftSeconds: 60 }),
  'create-reservation': () => ({ quantity: 1, fill: 'all' }),
  'reduce-reservation': () => ({ quantity: 1 }),
  'create-purchase': () => ({ reservationIds: [reservation.open], paymentToken: 'tok_approve' }),
  'read-notifications': () => ({ notificationIds: 'all' }),
  'create-webhook-endpoint': () => ({ url: 'https://shop.example.com/', events: ['sale.changed'], description: '' }),
  'update-webhook-endpoint': () => ({ description: 'Another' }),
  'rotate-webhook-secret': () => ({ overlapSeconds: 60 }),
  'redeliver-webhooks': () => ({ since: '2026-01-31T18:00:00Z' }),
  'redrive-dead-letters': () => ({ queue: 'reservations', messageIds: 'all' }),
  'reconcile-now': () => ({ restored: false }),
  'cancel-sale': () => ({ refunds: 'refund' }),
  'refund-purchase': () => ({ amountMinor: 1 }),
  'decide-dispute': () => ({ decision: 'refund' }),
  'grant-reservation': () => ({ reservationId: newId(), reason: 'It was promised' }),
  'set-role': () => ({ email: ada.email, role: 'viewer' }),
  'create-api-key': () => ({ name: 'Storefront', scopes: ['sales:read'] }),
  'rotate-api-key': () => ({ overlapSeconds: 60 }),
};

const named = Object.entries(routes);
const withJson = named.filter(([, route]) => route.body && route.bodyType !== 'text/csv').map(([name]) => name);
const withParams = named.filter(([, route]) => route.params).map(([name]) => name);
/** Those that only some may call, and which role that takes. */
const wanted = ({ auth }: Route) => (auth === 'none' || auth === 'optional' ? undefined : auth);
const withAuth = named.filter(([, route]) => wanted(route)).map(([name]) => name);

/** A call of a route with ids that exist, as a caller who may make it. */
function callOf(name: string, id?: string): [string, Sent] {
  const route = routes[name];
  if (!route) throw new Error(`there is no route ${name}`);
  const labelled = { kind: 'product', subjectId: productId };
  const ids: Record<string, string | undefined> = {
    ...{ productId, saleId: sale.open, reservationId: reservation.open },
    ...labelled,
  };
  const path = route.path.replace(/\{(\w+)\}/g, (_, parameter) => id ?? ids[parameter] ?? newId());
  const role = wanted(route);
  const token = role && signedIn[role];
  return [
    `${route.method} ${path}`,
    { ...(token === undefined ? {} : { token }), ...(route.idempotent ? { key: newId() } : {}) },
  ];
}

describe('bodies', () => {
  test('every route that takes JSON is covered', () => {
    expect(Object.keys(goodBodies).sort()).toEqual([...withJson].sort());
  });

  test.each(withJson)('%s reads only JSON that has one meaning, and of its own shape', async (name) => {
    const [line, sent] = callOf(name);
    const good = goodBodies[name]?.() ?? {};
    const [first = '', value] = Object.entries(good)[0] ?? [];
    const text = JSON.stringify(good);
    const withMore = (more: string) => `${text.slice(0, -1)},${more}}`;
    const type = (value: string): Sent => ({ text, headers: { 'content-type': value } });
    const cases: [Sent, string][] = [
      ...(routes[name]?.bodyOptional ? [] : ([[{ text: '' }, 'invalid_json']] as [Sent, string][])),
      [{ text: '{' }, 'invalid_json'],
      [{ text: `${text}x` }, 'invalid_json'],
      [{ text: `${'{"a":'.repeat(1_000)}1${'}'.repeat(1_000)}` }, 'invalid_json'],
      [{ text: withMore(`${JSON.stringify(first)}:${JSON.stringify(value)}`) }, 'invalid_json'],
      [{ text: withMore('"__proto__":{"role":"operator"}') }, 'invalid_json'],
      [{ text: withMore('"constructor":{"prototype":{}}') }, 'invalid_json'],
      // Where a role is asked for, a second one would be the same field twice.
      [{ text: withMore('role' in good ? '"isAdmin":true' : '"role":"operator"') }, 'invalid_input'],
      [{ text: '[]' }, 'invalid_input'],
      ...['null', '0', 'false', '""'].map((value): [Sent, string] => [{ text: value }, 'invalid_input']),
      [{ text: '"x"' }, 'invalid_input'],
      [{ text: '0' }, 'invalid_input'],
      [{ falsy: 0 }, 'invalid_input'],
      [{ falsy: false }, 'invalid_input'],
      [{ falsy: null }, 'invalid_input'],
      [{ text: JSON.stringify({ ...good, [first]: { $gt: '' } }) }, 'invalid_input'],
      [{ text: JSON.stringify({ ...good, [first]: [[]] }) }, 'invalid_input'],
      [{ text: withMore(`"pad":"${'x'.repeat(17_000)}"`) }, 'payload_too_large'],
      [{ bytes: Uint8Array.from([0x7b, 0xff, 0x7d]) }, 'invalid_input'],
      [type('text/plain'), 'unsupported_media_type'],
      [type('application/x-www-form-urlencoded'), 'unsupported_media_type'],
      [type('application/json; charset=utf-16'), 'unsupported_media_type'],
      [{ text, headers: { 'content-encoding': 'gzip' } }, 'unsupported_media_type'],
    ];
    await changingNothing(async () => {
      for (const [bad, code] of cases) expectRefusal(await api.call(line, { ...sent, ...bad }), code);
    });
  });

  test('the import reads only CSV in UTF-8 of a sensible size', async () => {
    const csv = 'sku,name,description,price_minor,currency\nA,A,,1,EUR\n';
    const headers = { 'content-type': 'text/csv' };
    for (const [sent, code] of [
      [{ text: '', headers }, 'invalid_input'],
      [{ text: csv }, 'unsupported_media_type'],
      [{ text: csv, headers: { 'content-type': 'text/csv; charset=latin1' } }, 'unsupported_media_type'],
      [{ bytes: Uint8Array.from([0x73, 0xe9, 0x0a]), headers }, 'invalid_input'],
      [{ bytes: new Uint8Array(), headers: { 'content-type': 'application/octet-stream' } }, 'unprocessable'],
      [{ text: csv.padEnd(1_100_000, '\n'), headers }, 'payload_too_large'],
      [{ text: csv.replace('A,A', 'A,A\0'), headers }, 'import_rejected'],
    ] as [Sent, string][]) {
      await refuses('POST /products/import', { token: operator, ...sent }, code);
    }
  });
});

describe('quantities', () => {
  const quantities = [
    '0',
    '-1',
    '1.5',
    'NaN',
    '"1"',
    '1e309',
    '9007199254740992',
    '10001',
    'null',
    '[1]',
    'true',
    '{}',
  ];

  test.each(quantities)('a reservation of %s units is refused', async (quantity) => {
    const code = quantity === 'NaN' ? 'invalid_json' : 'invalid_input';
    const [line, sent] = reserve();
    await refuses(line, { ...sent, text: `{"quantity":${quantity},"fill":"all"}` }, code);
    await refuses(line, { ...sent, text: `{"quantity":3,"fill":{"atLeast":${quantity}}}` }, code);
  });

  test('a quantity below atLeast is refused', async () => {
    const [line, sent] = reserve();
    await refuses(line, { ...sent, json: { quantity: 2, fill: { atLeast: 3 } } }, 'unprocessable');
    await refuses(line, { ...sent, json: { quantity: 2, fill: 'some' } }, 'invalid_input');
  });

  test('a quantity above the cap is refused', async () => {
    const [line, sent] = reserve();
    await refuses(line, { ...sent, json: { quantity: 6 } }, 'over_cap');
  });

  test('a purchase with a repeated reservation, too many or none is refused', async () => {
    await refuses(...buy([reservation.open, reservation.open]), 'invalid_input');
    await refuses(...buy(Array.from({ length: 51 }, () => newId())), 'invalid_input');
    await refuses(...buy([]), 'invalid_input');
  });

  test.each(['0', '-1', '1.5', '"1"', '1e309', '9007199254740992', '100000001'])(
    'no sale offers %s units',
    async (units) => {
      const text = JSON.stringify(goodBodies['create-sale']?.()).replace('"allotment":10', `"allotment":${units}`);
      await refuses('POST /sales', { text, token: operator }, 'invalid_input');
      if (units !== '-1') {
        const adjust = { text: `{"units":${units}}`, token: operator };
        await refuses(`POST /sales/${sale.open}/stock`, adjust, 'invalid_input');
      }
    },
  );

  test('an adjustment cannot remove more units than are available', async () => {
    const sent = { json: { units: -1_000 }, token: operator };
    await refuses(`POST /sales/${sale.open}/stock`, sent, 'illegal_state');
  });

  test.each(['0', '-1', '1.5', '"100"', '1e309', '100000000001'])('no product costs %s', async (amount) => {
    const text = JSON.stringify(goodBodies['create-product']?.()).replace('"amountMinor":1', `"amountMinor":${amount}`);
    await refuses('POST /products', { text, token: operator }, 'invalid_input');
  });
});

describe('ids', () => {
  const strange = [
    'x',
    '0',
    'null',
    '%00',
    '%0d%0aset-cookie:%20x',
    '..%2f..%2fetc%2fpasswd',
    '%F0%9F%98%80',
    encodeURIComponent("' OR 1=1 -- "),
    encodeURIComponent('1; DROP TABLE sales'),
    '9'.repeat(10_000),
  ];

  /** Drawn for any id of the right form: whoever follows an old link gets a page, not an answer for programs. */
  const drawn = ['get-sale-page', 'get-sale-cover'];

  test.each(withParams)('%s answers 404 for a malformed or unknown id', async (name) => {
    const [line, sent] = callOf(name);
    const known = line.split('/').find((segment) => /^[0-9a-f-]{36}$/.test(segment)) ?? '';
    const good = goodBodies[name]?.();
    const body: Sent = good ? { json: good } : {};
    const alike = [known.toUpperCase(), known.replace(/[a-f]/, 'а'), known.replaceAll('-', ''), `${known}%0a`];
    await changingNothing(async () => {
      for (const id of [...strange, ...alike, ...(drawn.includes(name) ? [] : [newId()])]) {
        const [bad] = callOf(name, id);
        expectRefusal(await api.call(bad, { ...sent, ...body }), 'not_found');
      }
    });
  });

  test('of no sale, the page is that of the shop, which says so itself, and the picture follows from the id', async () => {
    await changingNothing(async () => {
      const page = await api.call(`GET /pages/sales/${newId()}`);
      expect([page.status, page.headers['cache-control']]).toEqual([200, 'no-store']);
      expect(page.text).toContain('<!-- preview -->');
      expect((await api.call(`GET /pages/sales/${newId()}/cover`)).status).toBe(200);
    });
  });

  test('what belongs to another customer is 404', async () => {
    const token = bob.token;
    const purchase = await api.call(...buy([reservation.notYetSelling]));
    expect(purchase.status).toBe(409);
    await refuses(`GET /reservations/${reservation.open}`, { token }, 'not_found');
    await refuses(`DELETE /reservations/${reservation.open}`, { token }, 'not_found');
    await refuses(...buy([reservation.open], { token }), 'not_found');
    await changingNothing(async () => {
      for (const line of ['GET /reservations', 'GET /purchases', 'GET /notifications']) {
        expect((await api.call(line, { token })).body.items).toEqual([]);
      }
    });
  });

  test('ids in bodies are checked too', async () => {
    for (const id of ['x', '', `${reservation.open}\0`, reservation.open?.toUpperCase(), 7, null, { id: 1 }]) {
      await refuses(...buy([id]), 'invalid_input');
      const create = { ...goodBodies['create-sale']?.(), productId: id };
      await refuses('POST /sales', { json: create, token: operator }, 'invalid_input');
      const read = { notificationIds: [id] };
      await refuses('POST /notifications/read', { json: read, token: ada.token }, 'invalid_input');
    }
    const create = { ...goodBodies['create-sale']?.(), productId: newId() };
    await refuses('POST /sales', { json: create, token: operator }, 'not_found');
  });
});

describe('SQL', () => {
  test.each(['products', 'sales', 'reservations', 'purchases', 'notifications', 'ops/dead-letters'])(
    'the list of %s refuses unknown or malformed query parameters',
    async (list) => {
      for (const query of [
        'sort=id',
        'order=id;%20DROP%20TABLE%20sales',
        'limit=1%20UNION%20SELECT%201',
        'limit=0',
        'limit=101',
        'limit=1&limit=2',
        'limit[]=1',
        'cursor=%27%20OR%201=1',
      ]) {
        await refuses(`GET /${list}?${query}`, { token: operator }, 'invalid_input');
      }
      for (const cursor of ['x', Buffer.from('12345678["\' OR 1=1"]').toString('base64url')]) {
        // The list of dead letters has no cursor.
        const code = list === 'ops/dead-letters' ? 'invalid_input' : 'unprocessable';
        await refuses(`GET /${list}?cursor=${cursor}`, { token: operator }, code);
      }
    },
  );

  test('a cursor of one list is refused by another', async () => {
    await givenSale(deps);
    const { nextCursor } = (await api.call('GET /sales?limit=1')).body;
    expect(nextCursor).not.toBeNull();
    await refuses(`GET /products?cursor=${nextCursor}`, {}, 'unprocessable');
  });

  test('text that looks like SQL is text', async () => {
    const name = "Robert'); DROP TABLE products; --";
    const json = { ...goodBodies['create-product']?.(), sku: 'SQL-1', name };
    const { body } = await api.call('POST /products', { json, token: operator });
    expect((await api.call(`GET /products/${body.productId}`)).body.name).toBe(name);
    expect((await deps.db.rows('SHOW TABLES')).length).toBe(tables.length);
  });
});

describe('tokens', () => {
  test.each(withAuth)('%s is refused without one', async (name) => {
    const [line, sent] = callOf(name);
    const good = goodBodies[name]?.();
    await refuses(line, { ...sent, token: undefined, ...(good ? { json: good } : {}) }, 'unauthenticated');
  });

  const withRole = named.flatMap(([name, route]) => {
    const least = wanted(route) ?? 'customer';
    return roles.filter((role) => !isAtLeast(role, least)).map((role) => [name, role] as const);
  });

  test.each(withRole)('%s is not for a %s', async (name, role) => {
    const [line, sent] = callOf(name);
    const good = goodBodies[name]?.();
    await refuses(line, { ...sent, token: signedIn[role], ...(good ? { json: good } : {}) }, 'forbidden');
  });

  test.each(roles)('a %s is let in to every route that is for them, and to no other', async (role) => {
    const token = role === 'customer' ? (await api.customer()).token : await api.operator(role);
    const letIn: string[] = [];
    for (const name of withAuth) {
      // What the door lets in fails behind it: there is nothing with such an id, and no such body.
      const [line, sent] = callOf(name, newId());
      const { status, body } = await api.call(line, { ...sent, token, ...(routes[name]?.body ? { text: '{' } : {}) });
      if (status !== 401 && body?.code !== 'forbidden') letIn.push(name);
    }
    const least = (name: string) => wanted(routes[name] as Route) ?? 'admin';
    expect(letIn).toEqual(withAuth.filter((name) => isAtLeast(role, least(name))));
    await eventsArrived();
  });

  test('a viewer sees, and acts on nothing; who acts for the shop is an operator or an admin', () => {
    const forViewers = named.filter(([, { auth }]) => auth === 'viewer');
    expect(forViewers.length).toBeGreaterThan(10);
    expect(forViewers.filter(([, { method }]) => method !== 'GET')).toEqual([]);
    const forCustomers = named.filter(([, { auth, path }]) => auth === 'customer' && path.startsWith('/ops/'));
    expect(forCustomers).toEqual([]);
  });

  /** Tokens that are wrong in one respect each. Unit tests of the verifier have many more. */
  async function wrongTokens(): Promise<Record<string, string>> {
    const caller: Caller = { customerId: ada.customerId, role: 'operator' };
    const at = async (ms: number) =>
      (await openTokens(bed.registry['secret/token-signing-key'] ?? '', () => ms)).issue(caller);
    const [header = '', payload = '', signature = ''] = ada.token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
    const { privateKey } = generateKeyPairSync('ed25519');
    const signedBy = (protectedHeader: Record<string, unknown>) =>
      new SignJWT({ ...claims, role: 'operator' })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', ...protectedHeader })
        .sign(privateKey);
    const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString());
    const publicKey = JSON.parse(bed.registry['secret/token-signing-key'] ?? '{}').x;
    const confused = `${encode({ alg: 'HS256', typ: 'at+jwt', kid })}.${payload}`;
    return {
      none: `${encode({ alg: 'none', typ: 'at+jwt', kid })}.${payload}.`,
      'HMAC with the public key': `${confused}.${createHmac('sha256', publicKey).update(confused).digest('base64url')}`,
      expired: await at(Date.now() - 3_600_000),
      'of the future': await at(Date.now() + 3_600_000),
      'with an unknown kid': await signedBy({ kid: 'unknown' }),
      'of another key': await signedBy({ kid }),
      'with a jku': await signedBy({ kid, jku: 'https://attacker.example/jwks.json' }),
      tampered: `${header}.${encode({ ...claims, role: 'operator' })}.${signature}`,
      'with another type': `${encode({ alg: 'EdDSA', typ: 'JWT', kid })}.${payload}.${signature}`,
      empty: '',
      'a refresh token': (await api.customer()).refreshToken,
    };
  }

  test('that are wrong in any respect are refused', async () => {
    const wrong = await wrongTokens();
    await changingNothing(async () => {
      for (const token of Object.values(wrong)) {
        for (const name of ['get-me', 'create-reservation', 'create-product', 'list-dead-letters']) {
          const [line, sent] = callOf(name);
          const good = goodBodies[name]?.();
          const answer = await api.call(line, { ...sent, token, ...(good ? { json: good } : {}) });
          expectRefusal(answer, 'unauthenticated');
        }
      }
    });
  });

  test('access tokens cannot refresh a session, and invalid refresh tokens end none', async () => {
    for (const refreshToken of [ada.token, 'x', "' OR 1=1", '\0', 'x'.repeat(256)]) {
      await refuses('POST /auth/refresh', { json: { refreshToken } }, 'unauthenticated');
    }
    for (const refreshToken of ['', 'x'.repeat(2_049), 7, null, ['x']]) {
      await refuses('POST /auth/refresh', { json: { refreshToken } }, 'invalid_input');
      await refuses('POST /auth/logout', { json: { refreshToken } }, 'invalid_input');
    }
  });
});

describe('idempotency keys', () => {
  test.each([undefined, '', ' ', 'two words', 'ключ', 'a\0b', 'a\r\nb', 'x'.repeat(256), '"', '""', '"half', '"a"b"'])(
    'a request without a good one (%j) is refused',
    async (key) => {
      const [line, sent] = reserve();
      await refuses(line, { ...sent, json: { quantity: 1 }, key }, 'idempotency_key_missing');
      await refuses(...buy([reservation.open], { key }), 'idempotency_key_missing');
    },
  );

  test('the same key with another body is refused, with the same body answered alike', async () => {
    const saleId = await givenSale(deps, { capPerCustomer: 5 });
    const [line, sent] = reserve(saleId);
    const first = await api.call(line, { ...sent, json: { quantity: 2 } });
    expect(first.status).toBe(202);
    await refuses(line, { ...sent, json: { quantity: 3 } }, 'idempotency_key_reused');
    await refuses(line, { ...sent, json: { quantity: 2, fill: { atLeast: 1 } } }, 'idempotency_key_reused');
    const again = await api.call(line, { ...sent, json: { quantity: 2, fill: 'all' } });
    expect([again.status, again.body]).toEqual([202, first.body]);
    expect([first, again].map(({ headers }) => headers['idempotent-replayed'])).toEqual([undefined, 'true']);
    const quoted = await api.call(line, { ...sent, key: `"${sent.key}"`, json: { quantity: 2 } });
    expect([quoted.status, quoted.body]).toEqual([202, first.body]);
    // The same key of another customer is a different key.
    const other = await api.call(line, { ...sent, token: bob.token, json: { quantity: 1 } });
    expect(other.status).toBe(202);
    expect(other.body.reservationId).not.toBe(first.body.reservationId);
  });

  test('a thousand keys of one customer get no more than the cap', async () => {
    const saleId = await givenSale(deps, { capPerCustomer: 5, allotment: 5_000 });
    const { token } = await api.customer();
    const answers: Answer[] = [];
    for (let start = 0; start < 1_000; start += 100) {
      const some = Array.from({ length: 100 }, () => reserve(saleId, { token, json: { quantity: 1 } }));
      answers.push(...(await Promise.all(some.map(([line, sent]) => api.call(line, sent)))));
    }
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(5);
    for (const answer of answers.filter(({ status }) => status !== 202)) expectRefusal(answer, 'over_cap');
  });
});

describe('webhooks', () => {
  const event = JSON.stringify({
    type: 'payment.captured',
    data: { chargeId: 'ch_1', idempotencyKey: newId() },
  });
  const nowSeconds = () => Math.floor(Date.now() / 1_000);

  function signed(
    body: string,
    { at = nowSeconds(), id = newId(), secret = bed.registry['secret/payment-webhook'] } = {},
  ): Sent {
    const key = Buffer.from((secret ?? '').replace('whsec_', ''), 'base64');
    const signature = createHmac('sha256', key).update(`${id}.${at}.${body}`).digest('base64');
    return {
      text: body,
      headers: { 'webhook-id': id, 'webhook-timestamp': String(at), 'webhook-signature': `v1,${signature}` },
    };
  }

  const without = (sent: Sent, header: string): Sent => {
    const { [header]: _dropped, ...headers } = sent.headers ?? {};
    return { ...sent, headers };
  };
  const withHeader = (sent: Sent, name: string, value: string): Sent => ({
    ...sent,
    headers: { ...sent.headers, [name]: value },
  });

  test.each<[string, () => Sent]>([
    ['no signature at all', () => ({ text: event })],
    ['no id', () => without(signed(event), 'webhook-id')],
    ['no time', () => without(signed(event), 'webhook-timestamp')],
    ['no signature', () => without(signed(event), 'webhook-signature')],
    ['an empty signature', () => withHeader(signed(event), 'webhook-signature', 'v1,')],
    ['a made-up signature', () => withHeader(signed(event), 'webhook-signature', `v1,${'A'.repeat(43)}=`)],
    ['a signature of another version', () => withHeader(signed(event), 'webhook-signature', 'v2,x')],
    [
      'the signature of another secret',
      () => signed(event, { secret: `whsec_${Buffer.from('x').toString('base64')}` }),
    ],
    ['a time of six minutes ago', () => signed(event, { at: nowSeconds() - 360 })],
    ['a time six minutes ahead', () => signed(event, { at: nowSeconds() + 360 })],
    ['a time that is none', () => withHeader(signed(event), 'webhook-timestamp', 'now')],
    ['the id of another message', () => withHeader(signed(event), 'webhook-id', newId())],
    ['an altered body', () => ({ ...signed(event), text: event.replace('captured', 'declined') })],
    ['a body with one blank more', () => ({ ...signed(event), text: `${event} ` })],
  ])('with %s change nothing', async (_what, sent) => {
    await refuses('POST /webhooks/payments', sent(), 'invalid_signature');
  });

  test('that are too large or of another type are not even checked', async () => {
    await refuses('POST /webhooks/payments', signed('x'.repeat(17_000)), 'payload_too_large');
    await refuses(
      'POST /webhooks/payments',
      withHeader(signed(event), 'content-type', 'text/plain'),
      'unsupported_media_type',
    );
  });

  test('that are genuine and mean nothing to us change nothing, however often they come', async () => {
    await changingNothing(async () => {
      for (const body of [event, '{}', '[]', 'not JSON', '{"refused":"internal"}', '{"type":"payment.exploded"}']) {
        const sent = signed(body);
        expect((await api.call('POST /webhooks/payments', sent)).status).toBe(200);
        expect((await api.call('POST /webhooks/payments', sent)).status).toBe(200);
      }
    });
  });
});

describe('at the wrong moment', () => {
  test.each([
    ['early', 'sale_not_open'],
    ['late', 'sale_closed'],
    ['paused', 'sale_paused'],
    ['cancelled', 'sale_cancelled'],
  ])('no reservation is accepted in a sale that is %s', async (situation, code) => {
    const [line, sent] = reserve(situation);
    await refuses(line, { ...sent, json: { quantity: 1 } }, code);
  });

  test.each([
    ['notYetSelling', 'window_not_open'],
    ['over', 'window_closed'],
    ['deadlineOver', 'deadline_passed'],
    ['paused', 'sale_paused'],
    ['purchased', 'already_resolved'],
    ['cancelled', 'illegal_state'],
    ['expired', 'deadline_passed'],
    ['refunded', 'illegal_state'],
  ])('a reservation that is %s cannot be bought', async (situation, code) => {
    await refuses(...buy([reservation[situation]]), code);
    // Nor together with one that can be bought: all of a purchase or nothing.
    await refuses(...buy([reservation.open, reservation[situation]]), code);
  });

  test.each(['purchased', 'cancelled', 'expired', 'refunded'])(
    'a reservation that is %s cannot be cancelled',
    async (situation) => {
      const before = await state();
      const answer = await api.call(`DELETE /reservations/${reservation[situation]}`, { token: ada.token });
      // Cancelling what is cancelled already is no mistake; its outcome is told once more.
      if (situation === 'cancelled' && answer.status === 200) expect(answer.body.state).toBe('cancelled');
      else expectRefusal(answer, 'already_resolved');
      expect(await state()).toEqual(before);
    },
  );

  test('one reservation cannot be paid for twice', async () => {
    const saleId = await givenSale(deps);
    const mine = await allocated(saleId, 'twice');
    const [line, sent] = buy([mine]);
    expect((await api.call(line, sent)).status).toBe(202);
    await refuses(...buy([mine]), 'purchase_in_progress');
    await refuses(
      line,
      { ...sent, json: { reservationIds: [mine], paymentToken: 'tok_other' } },
      'idempotency_key_reused',
    );
    await refuses(`DELETE /reservations/${mine}`, { token: ada.token }, 'purchase_in_progress');
  });

  test('a purchase that does not exist cannot be refunded, and no purchase by a customer', async () => {
    await refuses(`POST /purchases/${newId()}/refund`, { token: operator }, 'not_found');
    await refuses(`POST /purchases/${newId()}/refund`, { token: ada.token }, 'forbidden');
  });

  test.each(['pause', 'resume'])('no cancelled sale can be %sd', async (verb) => {
    await refuses(`POST /sales/${sale.cancelled}/${verb}`, { token: operator }, 'sale_cancelled');
  });
});

describe('accounts', () => {
  test.each([
    ['no address', { email: 'nobody' }],
    ['an address with a line break', { email: 'a@example.com\r\nbcc: b@example.com' }],
    ['an address of 10,000 characters', { email: `${'a'.repeat(10_000)}@example.com` }],
    ['a list of addresses', { email: ['a@example.com', 'b@example.com'] }],
    ['a short password', { password: '123456789' }],
    ['a long password', { password: 'x'.repeat(129) }],
    ['a password with NUL', { password: 'long enough\0' }],
    ['no name', { name: '' }],
    ['a name of blanks', { name: '   ' }],
    ['a name with a line break', { name: 'Ada\r\nX-Admin: 1' }],
    ['a name that turns its direction', { name: 'Ada\u202eadA' }],
    ['a long name', { name: 'x'.repeat(101) }],
  ])('registration with %s is refused', async (_what, wrong) => {
    await refuses('POST /auth/register', { json: { ...goodBodies.register?.(), ...wrong } }, 'invalid_input');
  });

  test('an address with letters that look alike is another one, and opens no account of the first', async () => {
    const json = { ...goodBodies.register?.(), email: 'ada@example.com' };
    const first = (await api.call('POST /auth/register', { json })).body;
    const alike = (await api.call('POST /auth/register', { json: { ...json, email: 'аda@example.com' } })).body;
    expect(alike.customerId).not.toBe(first.customerId);
    expect((await api.call('GET /me', { token: alike.accessToken })).body.email).toBe('аda@example.com');
  });

  test('a password of a megabyte is refused before it is hashed', async () => {
    const json = { email: ada.email, password: 'x'.repeat(1_048_576) };
    const startedAt = Date.now();
    await refuses('POST /auth/login', { json }, 'payload_too_large');
    expect(Date.now() - startedAt).toBeLessThan(1_000);
  });

  test('names in every script are accepted', async () => {
    for (const name of ['Zoë', 'علي', 'ありさ', 'O’Brien', 'שרה', 'Ada 👩🏽‍💻']) {
      const json = { email: `${newId()}@example.com`, password, name };
      const { status } = await api.call('POST /auth/register', { json });
      expect([name, status]).toEqual([name, 201]);
    }
  });
});

describe('times', () => {
  test.each([
    ['nowhere', {}, 'unprocessable'],
    ['nowhere, as a preview', { dryRun: true }, 'unprocessable'],
    ['to times and by a shift', { shiftSeconds: 60, purchaseClosesAt: '2030-01-01T00:00:00Z' }, 'unprocessable'],
    ['by half a second', { shiftSeconds: 0.5 }, 'invalid_input'],
    ['by more than a year', { shiftSeconds: 400 * 86_400 }, 'invalid_input'],
    ['to a close before its opening', { purchaseClosesAt: '2001-01-01T00:00:00Z' }, 'unprocessable'],
    ['to a reservation period that outlasts its window', { reserveClosesAt: '2039-01-01T00:00:00Z' }, 'unprocessable'],
    ['with a confirmation that is no text', { shiftSeconds: 60, confirmation: 1 }, 'invalid_input'],
  ])('no sale is rescheduled %s', async (_, json, code) => {
    await refuses(`POST /sales/${sale.open}/reschedule`, { token: operator, json }, code);
  });

  test('no customer reschedules a sale, and nobody one that is cancelled', async () => {
    const json = { shiftSeconds: 60, dryRun: true };
    await refuses(`POST /sales/${sale.open}/reschedule`, { token: ada.token, json }, 'forbidden');
    await refuses(`POST /sales/${sale.cancelled}/reschedule`, { token: operator, json }, 'sale_cancelled');
    await refuses(`POST /sales/${sale.paused}/resume?keepTimes=maybe`, { token: operator }, 'invalid_input');
  });

  test.each([
    ['a local time without a zone', '2030-03-31T02:30:00'],
    ['a leap second', '2030-06-30T23:59:60Z'],
    ['an ISO week date', '2030-W01-1T00:00:00Z'],
    ['a date without a time', '2030-01-01'],
    ['a day that does not exist', '2030-02-30T00:00:00Z'],
    ['the hour 24', '2030-01-01T24:00:00Z'],
    ['an offset that does not exist', '2030-01-01T00:00:00+25:00'],
    ['a number', 1_900_000_000_000],
    ['the year 1', '0001-01-01T00:00:00Z'],
    ['the year 9999', '9999-12-31T00:00:00Z'],
    ['words', 'tomorrow'],
    ['nothing', ''],
  ])('no sale opens at %s', async (_what, reserveOpensAt) => {
    const json = { ...goodBodies['create-sale']?.(), reserveOpensAt };
    await refuses('POST /sales', { json, token: operator }, 'invalid_input');
    await refuses(`PATCH /sales/${sale.early}`, { json: { reserveOpensAt }, token: operator }, 'invalid_input');
  });

  test('no sale closes before it opens, or is over before it began', async () => {
    for (const wrong of [
      { reserveClosesAt: '2029-01-01T00:00:00Z' },
      { purchaseClosesAt: '2029-01-01T00:00:00Z' },
      { purchaseOpensAt: '2029-12-31T23:59:59Z' },
      { reserveOpensAt: '2020-01-01T00:00:00Z', reserveClosesAt: '2020-01-02T00:00:00Z' },
    ]) {
      const json = { ...goodBodies['create-sale']?.(), ...wrong };
      await refuses('POST /sales', { json, token: operator }, 'unprocessable');
    }
  });

  test('S11: no reservation period outlasts the purchase window', async () => {
    const times = { reserveClosesAt: '2030-01-03T00:00:00.001Z', purchaseClosesAt: '2030-01-03T00:00:00Z' };
    const json = { ...goodBodies['create-sale']?.(), ...times };
    await refuses('POST /sales', { json, token: operator }, 'unprocessable');
    const { status, body } = await api.call('POST /sales', {
      json: { ...json, reserveClosesAt: times.purchaseClosesAt },
      token: operator,
    });
    expect(status).toBe(201);
    await eventsArrived();
    for (const change of [{ reserveClosesAt: times.reserveClosesAt }, { purchaseClosesAt: '2030-01-02T23:59:59Z' }]) {
      await refuses(`PATCH /sales/${body.saleId}`, { json: change, token: operator }, 'unprocessable');
    }
  });

  test('one moment is one moment, whatever the zone and the season it is written in', async () => {
    const json = {
      ...goodBodies['create-sale']?.(),
      // The night in which clocks in Berlin go back: 02:30 comes twice, and the offset says which one is meant.
      reserveOpensAt: '2030-10-27T02:30:00+02:00',
      reserveClosesAt: '2030-10-27T02:30:00+01:00',
      purchaseOpensAt: '2030-10-27T02:30:00+01:00',
      purchaseClosesAt: '2030-10-28T00:00:00-05:00',
    };
    const { status, body } = await api.call('POST /sales', { json, token: operator });
    expect(status).toBe(201);
    await eventsArrived();
    expect([body.reserveOpensAt, body.reserveClosesAt]).toEqual([
      '2030-10-27T00:30:00.000Z',
      '2030-10-27T01:30:00.000Z',
    ]);
    expect(body.purchaseClosesAt).toBe('2030-10-28T05:00:00.000Z');
  });
});

describe('headers and logs', () => {
  test('a correlation id that would write its own line of the log is replaced', async () => {
    for (const id of ['a\r\nset-cookie: x=1', '{"level":"error"}', '\u001b[2J', '😀'.repeat(8)]) {
      const { headers } = await api.call('GET /products', { headers: { 'x-correlation-id': id } });
      expect(headers['x-correlation-id']).toMatch(/^[0-9a-f-]{36}$/);
    }
  });
});
