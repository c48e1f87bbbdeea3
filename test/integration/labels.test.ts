/**
 * Labels, references and metadata of a shop's own: who may give them, that each request's is written once, where they are found, and
 * that what has none costs nothing.
 */
import { parse } from 'csv-parse/sync';
import type { BusEvent } from '#events/catalog.ts';
import { handler as allocate } from '#functions/queue/allocate.ts';
import { maxMetadataBytes, maxMetadataKeys } from '#labels/label.shapes.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import {
  type ApiKeyId,
  type CustomerId,
  derivedId,
  type PurchaseId,
  type ReservationId,
  type SaleId,
  toBytes,
} from '#platform/kernel/ids.ts';
import { scopes } from '#platform/security/scopes.ts';
import { cancelReservation } from '#reservation/cancel.ts';
import { requestReservation } from '#reservation/request.ts';
import type { ReservationRequest } from '#reservation/reservation.shapes.ts';
import { webhookMessages } from '#webhooks/message.shapes.ts';
import { recordEvents } from '#webhooks/record.ts';
import { type Answer, type Api, openApi, password } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { withDeps, withoutQueue } from '../support/deps.ts';
import { newId } from '../support/ids.ts';
import { givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let operator: string;
let viewer: string;
let key: string;
let keyId: ApiKeyId;

beforeAll(async () => {
  bed = await testBed({ rules: false });
  api = openApi();
  deps = await api.deps();
  [operator, viewer] = [await api.operator(), await api.operator('viewer')];
  const json = { name: 'Storefront', scopes: [...scopes] };
  ({ key, keyId } = (await api.call('POST /ops/api-keys', { token: await api.operator('admin'), json })).body);
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

const rows = async (table: 'labels' | 'reservations' | 'purchases' | 'products' | 'sales' | 'operator_acts') =>
  Number((await deps.db.rows<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`))[0]?.n);
const found = async (query: string): Promise<Record<string, unknown>[]> =>
  (await api.call(`GET /ops/labels?${query}`, { token: key })).body.items;
const labelOf = async (subjectId: string) => (await found(`subjectId=${subjectId}`))[0];
const change = (kind: string, subjectId: string, json: unknown, sent: object = {}): Promise<Answer> =>
  api.call(`PATCH /ops/labels/${kind}/${subjectId}`, { token: key, json, ...sent });
const inHour = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();

const product = (more: object = {}) => ({
  ...{ sku: newId(), name: 'Chair', description: '', price: { amountMinor: 100, currency: 'EUR' } },
  ...more,
});
async function givenProduct(more: object = {}): Promise<string> {
  const { status, body } = await api.call('POST /products', { token: operator, json: product(more) });
  expect(status).toBe(201);
  return body.productId;
}
const sale = (productId: string, more: object = {}) => ({
  ...{ productId, name: 'First run', allotment: 5, capPerCustomer: 2 },
  ...{ reserveOpensAt: inHour(1), reserveClosesAt: inHour(2), purchaseOpensAt: inHour(2), purchaseClosesAt: inHour(3) },
  ...more,
});

/** Who comes with an external id, as the storefront names them. */
const acting = (externalId: string, idempotencyKey: string = newId()) => ({
  token: key,
  key: idempotencyKey,
  headers: { 'holdfast-customer': externalId },
});

/** Requests as the API does, with the message kept from the queue. */
async function request(
  saleId: SaleId,
  customerId: CustomerId,
  asked: Partial<ReservationRequest>,
  by: ApiKeyId | null = keyId,
  idempotencyKey: string = newId(),
) {
  const bodies: unknown[] = [];
  const queue: Deps['queue'] = (name) => ({
    url: deps.queue(name).url,
    send: async ({ body }) => void (name === 'reservations' && bodies.push(body)),
    sendAll: async () => undefined,
  });
  const accepted = await requestReservation(
    withDeps(deps, { queue }),
    { customerId, keyId: by ?? undefined },
    saleId,
    idempotencyKey,
    { quantity: 1, fill: 'all', ...asked },
  );
  return { accepted, message: { messageId: newId(), body: JSON.stringify(bodies[0]) } };
}

async function requested(...asked: Parameters<typeof request>) {
  const { accepted, message } = await request(...asked);
  if (isRefusal(accepted)) throw new Error(accepted.detail);
  return { reservationId: accepted.reservationId, message };
}

async function reserve(
  saleId: SaleId,
  customerId: CustomerId,
  asked: Partial<ReservationRequest>,
  by?: ApiKeyId | null,
): Promise<ReservationId> {
  const { reservationId, message } = await requested(saleId, customerId, asked, by);
  expect(await deliver(allocate, [message])).toEqual([]);
  return reservationId;
}

describe('products and sales', () => {
  test('are made with a reference and metadata, by which operators and keys find them, and nobody else', async () => {
    const noted = { reference: `P-${newId()}`, metadata: { supplier: 'Ø & Söhne', shelf: '12' } };
    const productId = await givenProduct(noted);
    expect(await found(`reference=${noted.reference}`)).toEqual([
      { kind: 'product', subjectId: productId, ...noted, updatedAt: expect.any(String) },
    ]);
    // Of another kind it may be the same.
    const made = await api.call('POST /sales', { token: operator, json: sale(productId, noted) });
    expect(made.status).toBe(201);
    const { saleId } = made.body;
    expect((await found(`reference=${noted.reference}`)).map(({ subjectId }) => subjectId).sort()).toEqual(
      [productId, saleId].sort(),
    );
    expect(await found(`reference=${noted.reference}&kind=sale`)).toMatchObject([{ subjectId: saleId }]);
    expect(await found(`reference=${noted.reference.toLowerCase()}`)).toEqual([]);
    const seen = [made, await api.call(`GET /products/${productId}`), await api.call(`GET /sales/${saleId}`)];
    for (const { text } of seen) expect(text).not.toMatch(/Söhne|"reference"|"metadata"/);
    const { token } = await api.customer();
    for (const call of ['GET /ops/labels?reference=a', `PATCH /ops/labels/product/${productId}`]) {
      expect((await api.call(call, { token, json: { reference: null } })).body.code).toBe('forbidden');
    }
    expect((await change('product', productId, { reference: null }, { token: viewer })).body.code).toBe('forbidden');
  });

  test('share no reference with another of their kind, and are then not made', async () => {
    const reference = `P-${newId()}`;
    const productId = await givenProduct({ reference });
    const saleReference = `S-${newId()}`;
    await api.call('POST /sales', { token: operator, json: sale(productId, { reference: saleReference }) });
    const other = await givenProduct();
    const before = [await rows('products'), await rows('sales'), await rows('labels'), await rows('operator_acts')];
    const refused = [
      await api.call('POST /products', { token: operator, json: product({ reference }) }),
      await api.call('POST /sales', { token: operator, json: sale(other, { reference: saleReference }) }),
      await change('product', other, { reference, metadata: { a: 'b' } }),
    ];
    expect(refused.map(({ status, body }) => [status, body.code])).toEqual(refused.map(() => [409, 'reference_taken']));
    expect([await rows('products'), await rows('sales'), await rows('labels'), await rows('operator_acts')]).toEqual(
      before,
    );
    expect((await change('product', productId, { reference: null })).status).toBe(200);
    expect((await change('product', other, { reference })).body).toMatchObject({ reference, metadata: {} });
  });
});

describe('a reservation', () => {
  test('without a label and by its customer leaves no row and names no key', async () => {
    const [saleId, { customerId }, before] = [await givenSale(deps), await api.customer(), await rows('labels')];
    const reservationId = await reserve(saleId, customerId, {}, null);
    expect(await rows('labels')).toBe(before);
    const [row] = await deps.db.rows('SELECT key_id FROM reservations WHERE id = ?', [toBytes(reservationId)]);
    expect(row).toEqual({ key_id: null });
  });

  test('has the label that came with its request, and names the key, in lists, story and export', async () => {
    const saleId = await givenSale(deps);
    const { customerId } = await api.customer();
    const noted = { reference: '=SUM(A1)', metadata: { channel: 'app', note: 'two\nlines, "quoted", 램프 😀 \uffff' } };
    const [reservationId, plain] = [
      await reserve(saleId, customerId, noted),
      await reserve(saleId, customerId, {}, null),
    ];
    expect(await labelOf(reservationId)).toMatchObject({ kind: 'reservation', ...noted });
    const list = async (query = '', name = 'reservations') =>
      (await api.call(`GET /ops/sales/${saleId}/${name}?${query}`, { token: viewer })).body.items;
    const reference = encodeURIComponent(noted.reference);
    expect(await list(`reference=${reference}`)).toMatchObject([{ reservationId, ...noted }]);
    expect(await list()).toHaveLength(2);
    expect((await list()).find((one: { reservationId: string }) => one.reservationId === plain)).toMatchObject({
      reference: null,
      metadata: {},
    });
    expect(await list(`reference=${reference}`, 'customers')).toMatchObject([{ customerId }]);
    expect(await list('reference=other')).toEqual([]);
    const { items } = (await api.call(`GET /ops/customers/${customerId}`, { token: viewer })).body;
    const what = Object.fromEntries(
      items.map((item: { subjectId: string; what: object }) => [item.subjectId, item.what]),
    );
    expect(what[reservationId]).toMatchObject({ ...noted, keyId });
    expect(what[plain]).toMatchObject({ reference: null, metadata: {}, keyId: null });
    const { text } = await api.call(`GET /ops/sales/${saleId}/exports/reservations`, { token: operator });
    const cells = parse(text, { bom: true, columns: true }) as Record<string, string>[];
    const exported = cells.find((one) => one.reservationId === reservationId);
    expect(exported?.reference).toBe("'=SUM(A1)");
    expect(JSON.parse(exported?.metadata ?? '')).toEqual(noted.metadata);
    expect(cells.find((one) => one.reservationId === plain)).toMatchObject({ reference: '', metadata: '' });
  });

  test('that is delivered again keeps what an operator has changed since', async () => {
    const [saleId, { customerId }] = [await givenSale(deps), await api.customer()];
    const { reservationId, message } = await requested(saleId, customerId, { reference: 'first' });
    expect((await change('reservation', reservationId, { reference: 'early' })).body.code).toBe('not_found');
    await deliver(allocate, [message]);
    await change('reservation', reservationId, { reference: null, metadata: { picked: 'yes' } });
    await deliver(allocate, [{ ...message, messageId: newId(), deliveries: 2 }]);
    await deliver(allocate, [{ ...message, messageId: newId() }]);
    expect(await labelOf(reservationId)).toMatchObject({ reference: null, metadata: { picked: 'yes' } });
  });

  test('that its customer cancels before the decision still gets its label', async () => {
    const [saleId, { customerId }] = [await givenSale(deps), await api.customer()];
    const { reservationId, message } = await requested(saleId, customerId, { reference: 'cancelled early' });
    expect(await cancelReservation(deps, customerId, reservationId)).toMatchObject({ state: 'cancelled' });
    await deliver(allocate, [message]);
    expect(await labelOf(reservationId)).toMatchObject({ reference: 'cancelled early' });
  });

  const noted = { reference: 'order-1', metadata: { a: '1', b: '2' } };
  const others = [{ ...noted, reference: 'order-2' }, { reference: 'order-1' }, { metadata: noted.metadata }, {}];

  test('under the same key is the same only with the same label, while it is undecided', async () => {
    const saleId = await givenSale(deps);
    const ask = (idempotencyKey: string, more: object) => {
      const sent = acting('member-1', idempotencyKey);
      return api.call(`POST /sales/${saleId}/reservations`, { ...sent, json: { quantity: 1, ...more } });
    };
    expect((await ask('one', noted)).status).toBe(202);
    const again = await ask('one', { metadata: { b: '2', a: '1' }, reference: 'order-1' });
    expect([again.status, again.headers['idempotent-replayed']]).toEqual([202, 'true']);
    for (const other of others) {
      const { status, body } = await ask('one', other);
      expect([other, status, body.code]).toEqual([other, 422, 'idempotency_key_reused']);
    }
    expect((await ask('bare', {})).status).toBe(202);
    expect((await ask('bare', noted)).body.code).toBe('idempotency_key_reused');
    expect((await ask('bare', {})).headers['idempotent-replayed']).toBe('true');
  });

  test('and so it is after the decision, by the label that it was requested with', async () => {
    const [saleId, { customerId }] = [await givenSale(deps), await api.customer()];
    const ask = async (more: object) => {
      const { accepted } = await request(saleId, customerId, more, keyId, 'one');
      return isRefusal(accepted) ? accepted.refused : accepted.state;
    };
    const { reservationId, message } = await requested(saleId, customerId, noted, keyId, 'one');
    await deliver(allocate, [message]);
    await change('reservation', reservationId, { reference: 'renamed' });
    expect(await ask(noted)).toBe('requested');
    for (const other of [...others, { ...noted, reference: 'renamed' }]) {
      expect([other, await ask(other)]).toEqual([other, 'idempotency_key_reused']);
    }
  });

  test('whose message could not be sent is judged anew, with the label of the next request', async () => {
    const [saleId, { customerId }] = [await givenSale(deps), await api.customer()];
    const cut = withDeps(deps, { queue: withoutQueue(deps, 'reservations', 'gone') });
    const failing = requestReservation(cut, { customerId, keyId }, saleId, 'one', {
      quantity: 1,
      fill: 'all',
      ...noted,
    });
    await expect(failing).rejects.toThrow();
    const { reservationId, message } = await requested(saleId, customerId, { reference: 'second' }, keyId, 'one');
    const { accepted } = await request(saleId, customerId, noted, keyId, 'one');
    expect(accepted).toMatchObject({ refused: 'idempotency_key_reused' });
    await deliver(allocate, [message]);
    expect(await labelOf(reservationId)).toMatchObject({ reference: 'second' });
  });
});

describe('a purchase', () => {
  test('has the label that came with it, names the key, and is found by it', async () => {
    const [saleId, who] = [await givenSale(deps), `member-${newId()}`];
    const me = await api.call('GET /me', acting(who));
    const { customerId } = me.body;
    const reservationId = await reserve(saleId, customerId, {});
    const noted = { reference: 'invoice-7', metadata: { terminal: '3' } };
    const buy = (idempotencyKey: string, more: object) =>
      api.call('POST /purchases', {
        ...acting(who, idempotencyKey),
        json: { reservationIds: [reservationId], paymentToken: 'tok_approve', ...more },
      });
    const bought = await buy('one', noted);
    expect(bought.status).toBe(202);
    const { purchaseId } = bought.body;
    expect((await buy('one', noted)).headers['idempotent-replayed']).toBe('true');
    for (const other of [{}, { reference: 'invoice-8' }, { ...noted, metadata: { terminal: '4' } }]) {
      expect((await buy('one', other)).body.code).toBe('idempotency_key_reused');
    }
    expect(await found('reference=invoice-7')).toMatchObject([{ kind: 'purchase', subjectId: purchaseId, ...noted }]);
    const { items } = (await api.call(`GET /ops/sales/${saleId}/purchases?reference=invoice-7`, { token: viewer }))
      .body;
    expect(items).toMatchObject([{ purchaseId, ...noted }]);
    const story = (await api.call(`GET /ops/customers/${customerId}`, { token: viewer })).body.items;
    expect(story.find((one: { kind: string }) => one.kind === 'purchase').what).toMatchObject({ ...noted, keyId });
    expect((await api.call(`GET /purchases/${purchaseId}`, acting(who))).text).not.toContain('invoice-7');
  });
});

describe('a customer’s own call', () => {
  test('gives no label, whatever it says, and makes nothing', async () => {
    const saleId = await givenSale(deps);
    const { customerId, token } = await api.customer();
    const reservationId = await reserve(saleId, customerId, {}, null);
    const before = [await rows('labels'), await rows('purchases')];
    for (const noted of [{ reference: 'mine' }, { metadata: { a: 'b' } }, { metadata: {} }]) {
      const order = { reservationIds: [reservationId], paymentToken: 'tok_approve', ...noted };
      const refused = [
        await api.call(`POST /sales/${saleId}/reservations`, { token, key: 'k', json: { quantity: 1, ...noted } }),
        await api.call('POST /purchases', { token, key: 'k', json: order }),
      ];
      for (const { status, body } of refused) expect([status, body.code]).toEqual([403, 'keys_only']);
    }
    expect([await rows('labels'), await rows('purchases')]).toEqual(before);
    // The key is free: nothing was made under it.
    const json = { quantity: 1 };
    expect((await api.call(`POST /sales/${saleId}/reservations`, { token, key: 'k', json })).status).toBe(202);
  });
});

const tooManyKeys = Object.fromEntries(Array.from({ length: maxMetadataKeys + 1 }, (_, n) => [`k${n}`, 'v']));
/** Each value is short enough, and all of them are not. */
const tooManyBytes = Object.fromEntries(
  Array.from({ length: 5 }, (_, n) => [`k${n}`, 'x'.repeat(maxMetadataBytes / 5)]),
);

describe('what is malformed', () => {
  const malformed: [object, string][] = [
    ...['', ' a', 'a\nb', 'x'.repeat(65), 7, null].map((reference): [object, string] => [
      { reference },
      'invalid_input',
    ]),
    ...[
      null,
      [],
      'a',
      { a: 1 },
      { a: null },
      { a: '' },
      { a: { b: 'c' } },
      { 'a b': 'c' },
      { '1': 'c' },
      { '': 'c' },
    ].map((metadata): [object, string] => [{ metadata }, 'invalid_input']),
    [{ metadata: { a: 'x'.repeat(501) } }, 'invalid_input'],
    [{ metadata: { ['k'.repeat(41)]: 'v' } }, 'invalid_input'],
    [{ metadata: { a: 'b\u0000' } }, 'invalid_input'],
    [{ metadata: tooManyKeys }, 'invalid_input'],
    [{ metadata: tooManyBytes }, 'unprocessable'],
  ];

  const named = malformed.map(([noted, code]) => ({ noted, code, what: JSON.stringify(noted).slice(0, 60) }));
  test.each(named)('$what makes nothing', async ({ noted, code }) => {
    const productId = await givenProduct();
    const saleId = await givenSale(deps);
    const before = [await rows('products'), await rows('sales'), await rows('labels')];
    const order = { reservationIds: [newId()], paymentToken: 'tok_approve', ...noted };
    const refused = [
      await api.call('POST /products', { token: operator, json: product(noted) }),
      await api.call('POST /sales', { token: operator, json: sale(productId, noted) }),
      await api.call(`POST /sales/${saleId}/reservations`, { ...acting('bad'), json: { quantity: 1, ...noted } }),
      await api.call('POST /purchases', { ...acting('bad'), json: order }),
    ];
    expect(refused.map(({ body }) => body.code)).toEqual(refused.map(() => code));
    expect([await rows('products'), await rows('sales'), await rows('labels')]).toEqual(before);
  });
});

describe('changing a label', () => {
  test('merges as Stripe does', async () => {
    const productId = await givenProduct({ reference: `P-${newId()}`, metadata: { a: '1', b: '2' } });
    const { reference } = (await labelOf(productId)) ?? {};
    const steps: [object, object][] = [
      [{ metadata: { b: '3', c: '4' } }, { reference, metadata: { a: '1', b: '3', c: '4' } }],
      [{ metadata: { a: null, b: '' } }, { reference, metadata: { c: '4' } }],
      [{ reference: `${reference}!` }, { reference: `${reference}!`, metadata: { c: '4' } }],
      [{ metadata: {} }, { reference: `${reference}!`, metadata: { c: '4' } }],
      [
        { metadata: null, reference: null },
        { reference: null, metadata: {} },
      ],
    ];
    for (const [json, after] of steps) {
      const { status, body } = await change('product', productId, json);
      expect([status, body]).toEqual([
        200,
        { kind: 'product', subjectId: productId, ...after, updatedAt: body.updatedAt },
      ]);
    }
    expect(await labelOf(productId)).toBeUndefined();
    const acts = (await api.call(`GET /ops/acts?subjectId=${productId}&operatorId=${keyId}`, { token: viewer })).body
      .items;
    expect(acts).toHaveLength(steps.length);
    expect(acts[0]).toMatchObject({
      act: 'PATCH /ops/labels/{kind}/{subjectId}',
      before: { metadata: { c: '4' } },
      after: { reference: null, metadata: {} },
    });
  });

  test('is done once under an Idempotency-Key', async () => {
    const productId = await givenProduct();
    const one = await change('product', productId, { metadata: { n: '1' } }, { key: 'once' });
    await change('product', productId, { metadata: { n: '2' } });
    expect((await change('product', productId, { metadata: { n: '1' } }, { key: 'once' })).text).toBe(one.text);
    expect(await labelOf(productId)).toMatchObject({ metadata: { n: '2' } });
    const other = await change('product', productId, { metadata: { n: '3' } }, { key: 'once' });
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused']);
  });

  test('two at once lose nothing of each other', async () => {
    const productId = await givenProduct();
    const both = Array.from({ length: 6 }, (_, n) => change('product', productId, { metadata: { [`k${n}`]: 'v' } }));
    expect((await Promise.all(both)).map(({ status }) => status)).toEqual(both.map(() => 200));
    expect(Object.keys((await labelOf(productId))?.metadata as object).sort()).toEqual(both.map((_, n) => `k${n}`));
  });

  test('of what there is not, or of the wrong kind, is refused, and so is what is malformed or too much', async () => {
    const productId = await givenProduct();
    const before = [await rows('labels'), await rows('operator_acts')];
    const refused: [string, string, unknown, number, string][] = [
      ['product', newId(), { reference: 'a' }, 404, 'not_found'],
      ['sale', productId, { reference: 'a' }, 404, 'not_found'],
      ['reservation', newId(), { reference: 'a' }, 404, 'not_found'],
      ['purchase', newId(), { reference: 'a' }, 404, 'not_found'],
      ['customer', productId, { reference: 'a' }, 404, 'not_found'],
      ['product', 'x', { reference: 'a' }, 404, 'not_found'],
      ['product', productId, {}, 400, 'invalid_input'],
      ['product', productId, { reference: '' }, 400, 'invalid_input'],
      ['product', productId, { other: 'a' }, 400, 'invalid_input'],
      ['product', productId, { metadata: { a: 1 } }, 400, 'invalid_input'],
      ['product', productId, { metadata: tooManyKeys }, 400, 'invalid_input'],
      ['product', productId, { metadata: tooManyBytes }, 422, 'unprocessable'],
    ];
    for (const [kind, id, json, status, code] of refused) {
      const answer = await change(kind, id, json);
      expect([kind, json, answer.status, answer.body.code]).toEqual([kind, json, status, code]);
    }
    expect([await rows('labels'), await rows('operator_acts')]).toEqual(before);
    const full = Object.fromEntries(Array.from({ length: maxMetadataKeys }, (_, n) => [`k${n}`, 'v']));
    expect((await change('product', productId, { metadata: full })).status).toBe(200);
    const more = await change('product', productId, { metadata: { another: 'v' } });
    expect([more.status, more.body.code]).toEqual([422, 'unprocessable']);
    expect((await labelOf(productId))?.metadata).toEqual(full);
  });

  test('looks nothing up without a reference or a subject, or with what is none', async () => {
    const wrong: [string, string][] = [
      ['', 'unprocessable'],
      ['kind=sale', 'unprocessable'],
      ['reference=', 'invalid_input'],
      ['subjectId=x', 'invalid_input'],
      ['reference=a&kind=customer', 'invalid_input'],
      ['reference=a&cursor=abc', 'unprocessable'],
    ];
    for (const [query, code] of wrong) {
      expect([query, (await api.call(`GET /ops/labels?${query}`, { token: key })).body.code]).toEqual([query, code]);
    }
  });

  test('what many have in common comes in pages, and is too much for a list of a sale', async () => {
    const many = Array.from({ length: 201 }, () => [toBytes(newId()), 'reservation', 'common', 1]);
    await deps.db.change('INSERT INTO labels (subject_id, kind, reference, updated_at_ms) VALUES ?', [many]);
    const first = (await api.call('GET /ops/labels?reference=common&limit=100', { token: key })).body;
    const second = await api.call(`GET /ops/labels?reference=common&limit=100&cursor=${first.nextCursor}`, {
      token: key,
    });
    expect([first.items.length, second.body.items.length]).toEqual([100, 100]);
    expect(new Set([...first.items, ...second.body.items].map(({ subjectId }) => subjectId)).size).toBe(200);
  });
});

describe('webhooks', () => {
  test('tell the labels of what they tell of, as their shape says', async () => {
    const { body } = await api.call('POST /webhook-endpoints', {
      token: operator,
      json: {
        url: 'https://shop.example.com/hooks',
        events: ['reservations.changed', 'reservations.reminded', 'purchase.changed', 'sale.changed', 'sale.published'],
      },
    });
    const [saleId, { customerId }] = [await givenSale(deps), await api.customer()];
    const noted = { reference: 'told', metadata: { a: 'b' } };
    const labelled = await reserve(saleId, customerId, noted);
    const plain = newId();
    await change('sale', saleId, { metadata: { season: 'spring' } });
    const purchaseId: PurchaseId = derivedId('purchase', customerId, 'told');
    const stock = { saleId, epoch: 1, version: 2, allotment: 1, available: 1, allocated: 0, sold: 0, waitlisted: 0 };
    const envelope = () => ({ eventId: newId(), schemaVersion: 1, occurredAtMs: Date.now() });
    const changeOf = (reservationId: ReservationId) => ({
      ...{ reservationId, saleId, customerId, from: 'requested', to: 'allocated', units: 1, quantity: 1 },
      ...{ ticket: 1, version: 1 },
    });
    const events = [
      {
        'detail-type': 'reservations.changed',
        detail: { ...envelope(), changes: [labelled, plain].map(changeOf), stocks: [stock], released: false },
      },
      {
        'detail-type': 'reservations.reminded',
        detail: {
          ...{ ...envelope(), saleId, reason: 'closing-soon' },
          recipients: [labelled, plain].map((reservationId) => ({ reservationId, customerId, units: 1, version: 1 })),
        },
      },
      {
        'detail-type': 'purchase.changed',
        detail: {
          ...{ ...envelope(), purchaseId, customerId, state: 'captured', amountMinor: 1, currency: 'EUR' },
          ...{ reservationIds: [labelled], version: 1 },
        },
      },
      {
        'detail-type': 'sale.changed',
        detail: { ...envelope(), saleId, phase: 'reserving', status: 'active', stock },
      },
      {
        'detail-type': 'sale.published',
        detail: { ...envelope(), saleId, publicFromMs: Date.now(), requiresCode: false },
      },
    ] as BusEvent[];
    await recordEvents(deps, events);
    // The same events again, after a change, are the same messages.
    await change('reservation', labelled, { metadata: { a: 'later' } });
    await recordEvents(deps, events);
    const messages = await deps.db.rows<{ type: keyof typeof webhookMessages; body: string }>(
      `SELECT m.type, m.body FROM webhook_deliveries d JOIN webhook_messages m ON m.id = d.message_id
       WHERE d.endpoint_id = ?`,
      [toBytes(body.endpointId)],
    );
    const told = Object.fromEntries(messages.map(({ type, body }) => [type, JSON.parse(body).data]));
    for (const { type, body } of messages) webhookMessages[type].parse(JSON.parse(body));
    expect(messages).toHaveLength(events.length);
    expect(told['reservations.changed'].changes).toEqual([
      expect.objectContaining({ reservationId: labelled, ...noted }),
      expect.not.objectContaining({ reference: expect.anything() }),
    ]);
    expect(told['reservations.reminded'].recipients[0]).toMatchObject(noted);
    expect(told['sale.changed']).toMatchObject({ saleId, metadata: { season: 'spring' } });
    expect(told['sale.published']).toMatchObject({ saleId, metadata: { season: 'spring' } });
    expect(told['sale.changed']).not.toHaveProperty('reference');
    expect(told['purchase.changed']).not.toHaveProperty('metadata');
  });
});

describe('an account that is deleted', () => {
  test('takes the metadata of its reservations with it; references stay', async () => {
    const saleId = await givenSale(deps);
    const [gone, stays] = [await api.customer(), await api.customer()];
    const noted = { reference: 'order-9', metadata: { giftFor: 'Bob' } };
    const [theirs, other] = [
      await reserve(saleId, gone.customerId, noted),
      await reserve(saleId, stays.customerId, noted),
    ];
    expect((await api.call('POST /me/deletion', { token: gone.token, json: { password } })).status).toBe(204);
    expect(await labelOf(theirs)).toMatchObject({ reference: 'order-9', metadata: {} });
    expect(await labelOf(other)).toMatchObject(noted);
  });
});
