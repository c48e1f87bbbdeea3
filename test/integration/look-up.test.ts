/**
 * What operators find: the reservations, purchases and customers of a sale, one customer's whole story, and the lists as CSV.
 */
import { parse } from 'csv-parse/sync';
import { handler as allocate } from '#functions/queue/allocate.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type CustomerId, type PurchaseId, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { delivered, givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let viewer: string;
let operator: string;
let saleId: SaleId;
let otherSale: SaleId;

interface Person {
  customerId: CustomerId;
  email: string;
  token: string;
  reservations: ReservationId[];
  purchaseId?: PurchaseId;
}
/** Three people: Ada has bought one of two, Bob waits, Cleo has one in each sale. */
let ada: Person;
let bob: Person;
let cleo: Person;

async function person(): Promise<Person> {
  const { customerId, email, token } = await api.customer();
  return { customerId, email, token, reservations: [] };
}

async function reserve(who: Person, sale: SaleId, key: string): Promise<void> {
  const { message, messageId } = delivered(sale, { customerId: who.customerId, key });
  await deliver(allocate, [{ messageId, body: JSON.stringify(message) }]);
  who.reservations.push(message.reservationId);
}

beforeAll(async () => {
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
  [viewer, operator] = [await api.operator('viewer'), await api.operator()];
  saleId = await givenSale(deps, { allotment: 3, waitlistSize: 5 });
  otherSale = await givenSale(deps);
  [ada, bob, cleo] = [await person(), await person(), await person()];
  await reserve(ada, saleId, 'one');
  await reserve(ada, saleId, 'two');
  await reserve(cleo, saleId, 'one');
  await reserve(bob, saleId, 'one');
  await reserve(cleo, otherSale, 'one');
  const json = { reservationIds: [ada.reservations[0]], paymentToken: 'tok_approve' };
  ada.purchaseId = (await api.call('POST /purchases', { token: ada.token, key: newId(), json })).body.purchaseId;
  await deps.db.change("UPDATE purchases SET charge_id = 'ch_ada' WHERE id = ?", [toBytes(ada.purchaseId ?? '')]);
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

const look = (list: string, query = '', sale = saleId): Promise<Answer> =>
  api.call(`GET /ops/sales/${sale}/${list}${query && `?${query}`}`, { token: viewer });
const idsOf = async (list: string, name: string, query = '') =>
  ((await look(list, query)).body.items as Record<string, string>[]).map((item) => item[name]).sort();

/** All items of a list, page by page. */
async function walk(list: string, limit: number, query = ''): Promise<unknown[]> {
  const items: unknown[] = [];
  let cursor = '';
  do {
    const { body } = await look(list, `limit=${limit}${query}${cursor && `&cursor=${cursor}`}`);
    expect(body.items.length).toBeLessThanOrEqual(limit);
    items.push(...body.items);
    cursor = body.nextCursor ?? '';
  } while (cursor);
  return items;
}

describe('reservations of a sale', () => {
  test('are all there, with whose they are, and none of another sale', async () => {
    const { items } = (await look('reservations')).body;
    expect(items).toHaveLength(4);
    const [found] = items.filter(({ customerId }: Person) => customerId === bob.customerId);
    expect(found).toMatchObject({
      reservationId: bob.reservations[0],
      email: bob.email,
      name: 'Ada',
      state: 'waitlisted',
    });
  });

  test('are found by state, address, customer, charge, and time', async () => {
    const found = (query: string) => idsOf('reservations', 'reservationId', query);
    const hourMs = 3_600_000;
    const at = (ms: number) => encodeURIComponent(new Date(Date.now() + ms).toISOString());
    expect(await found('state=waitlisted')).toEqual(bob.reservations);
    expect(await found(`email=${ada.email}`)).toEqual([...ada.reservations].sort());
    expect(await found(`email=${ada.email.slice(0, 20).toUpperCase()}&state=allocated`)).toHaveLength(2);
    expect(await found(`customerId=${cleo.customerId}`)).toEqual([cleo.reservations[0]]);
    expect(await found('externalId=ch_ada')).toEqual([ada.reservations[0]]);
    expect(await found(`externalId=ch_ada&email=${bob.email}`)).toEqual([]);
    expect(await found('externalId=ch_nobody')).toEqual([]);
    expect(await found(`from=${at(-hourMs)}&to=${at(hourMs)}`)).toHaveLength(4);
    expect(await found(`from=${at(hourMs)}`)).toEqual([]);
  });

  test('an address with a wildcard in it is an address', async () => {
    for (const email of ['%25', '_', '%5C'])
      expect(await idsOf('reservations', 'reservationId', `email=${email}`)).toEqual([]);
  });
});

describe('purchases and customers of a sale', () => {
  test('a purchase is found once, with what it bought here', async () => {
    const { items } = (await look('purchases')).body;
    expect(items).toMatchObject([
      { purchaseId: ada.purchaseId, email: ada.email, units: 1, amountMinor: 1_000, externalId: 'ch_ada' },
    ]);
    for (const query of [
      `email=${ada.email}`,
      'externalId=ch_ada',
      'state=requested',
      `customerId=${ada.customerId}`,
    ]) {
      expect(await idsOf('purchases', 'purchaseId', query)).toEqual([ada.purchaseId]);
    }
    expect(await idsOf('purchases', 'purchaseId', 'state=captured')).toEqual([]);
    expect((await look('purchases', '', otherSale)).body.items).toEqual([]);
  });

  test('one of several reservations and sales is found once in each of them', async () => {
    const [one, two] = [await givenSale(deps), await givenSale(deps)];
    const dora = await person();
    for (const [sale, key] of [
      [one, 'a'],
      [one, 'b'],
      [two, 'a'],
    ] as const)
      await reserve(dora, sale, key);
    const json = { reservationIds: dora.reservations, paymentToken: 'tok_approve' };
    const { purchaseId } = (await api.call('POST /purchases', { token: dora.token, key: newId(), json })).body;
    for (const [sale, units] of [
      [one, 2],
      [two, 1],
    ] as const) {
      expect((await look('purchases', '', sale)).body.items).toMatchObject([{ purchaseId, units }]);
      expect((await look('purchases', `email=${dora.email}`, sale)).body.items).toMatchObject([{ purchaseId, units }]);
    }
  });

  test('each customer is there once, with what they have', async () => {
    const { items } = (await look('customers')).body;
    const byId = new Map(items.map((item: { customerId: string }) => [item.customerId, item]));
    expect([...byId.keys()].sort()).toEqual([ada, bob, cleo].map(({ customerId }) => customerId).sort());
    expect(items).toHaveLength(3);
    expect(byId.get(ada.customerId)).toMatchObject({ unitsHeld: 2, reservations: { allocated: 2, waitlisted: 0 } });
    expect(await idsOf('customers', 'customerId', 'state=waitlisted')).toEqual([bob.customerId]);
    expect(await idsOf('customers', 'customerId', `email=${cleo.email}`)).toEqual([cleo.customerId]);
  });
});

describe('a list', () => {
  test.each(['reservations', 'purchases', 'customers'])(
    '%s comes in pages of any size, each item once',
    async (list) => {
      const whole = (await look(list, 'limit=100')).body.items;
      expect(whole.length).toBeGreaterThan(0);
      for (const limit of [1, 2, 3]) expect(await walk(list, limit)).toEqual(whole);
    },
  );

  test('has cursors of its own, and of its own sale', async () => {
    const { nextCursor } = (await look('reservations', 'limit=1')).body;
    const wrong = [
      await look('customers', `cursor=${nextCursor}`),
      await look('reservations', `cursor=${nextCursor}`, otherSale),
      await look('reservations', `cursor=${nextCursor}x`),
    ];
    expect(wrong.map(({ body }) => body.code)).toEqual(['unprocessable', 'unprocessable', 'unprocessable']);
  });

  test('is of a sale that exists, and refuses what it does not know', async () => {
    expect((await look('reservations', '', newId())).body.code).toBe('not_found');
    for (const query of ['state=lost', 'from=yesterday', 'email=', 'other=1', 'limit=101']) {
      expect([query, (await look('reservations', query)).body.code]).toEqual([query, 'invalid_input']);
    }
  });

  test('refuses the beginning of an address that too many have', async () => {
    const rows = Array.from({ length: 201 }, (_, n) => [
      toBytes(newId()),
      `many-${n}@example.com`,
      'A',
      'x',
      'customer',
      1,
    ]);
    await deps.db.change('INSERT INTO customers (id, email, name, password_hash, role, created_at_ms) VALUES ?', [
      rows,
    ]);
    expect((await look('reservations', 'email=many')).body).toMatchObject({
      code: 'unprocessable',
      fields: [{ field: 'email' }],
    });
    expect((await look('reservations', 'email=many-1')).status).toBe(200);
  });
});

describe('a customer’s story', () => {
  test('has the account and all that happened, newest first, in pages', async () => {
    await api.call(`POST /purchases/${ada.purchaseId}/refund`, { token: operator });
    await deps.db.change(
      "UPDATE purchases SET state = 'captured', captured_minor = 1000, captured_currency = 'EUR' WHERE id = ?",
      [toBytes(ada.purchaseId ?? '')],
    );
    expect((await api.call(`POST /purchases/${ada.purchaseId}/refund`, { token: operator })).status).toBe(202);
    const story = async (query: string) =>
      (await api.call(`GET /ops/customers/${ada.customerId}?${query}`, { token: viewer })).body;
    const { customer, items } = await story('limit=100');
    expect(customer).toMatchObject({ customerId: ada.customerId, email: ada.email, role: 'customer' });
    const kinds = items.map(({ kind }: { kind: string }) => kind);
    expect(kinds.filter((kind: string) => kind !== 'notice').sort()).toEqual([
      'act',
      'purchase',
      'refund',
      'reservation',
      'reservation',
    ]);
    const times = items.map(({ at }: { at: string }) => Date.parse(at));
    expect(times).toEqual(times.toSorted((one: number, other: number) => other - one));
    expect(items.find(({ kind }: { kind: string }) => kind === 'purchase')).toMatchObject({
      subjectId: ada.purchaseId,
      what: { amountMinor: 1_000, externalId: 'ch_ada', updatedAt: expect.stringMatching(/Z$/) },
    });
    expect(items.find(({ kind }: { kind: string }) => kind === 'act')).toMatchObject({
      subjectId: ada.purchaseId,
      what: { act: 'POST /purchases/{purchaseId}/refund' },
    });
    for (const limit of [1, 2]) {
      const paged: unknown[] = [];
      let cursor = '';
      do {
        const page = await story(`limit=${limit}${cursor && `&cursor=${cursor}`}`);
        paged.push(...page.items);
        cursor = page.nextCursor ?? '';
      } while (cursor);
      expect(paged).toEqual(items);
    }
  });

  test('is nobody else’s', async () => {
    const { items } = (await api.call(`GET /ops/customers/${bob.customerId}?limit=100`, { token: viewer })).body;
    const subjects = items.map(({ subjectId }: { subjectId: string }) => subjectId);
    expect(subjects.filter((id: string) => ada.reservations.includes(id as ReservationId))).toEqual([]);
    expect((await api.call(`GET /ops/customers/${newId()}`, { token: viewer })).body.code).toBe('not_found');
  });
});

describe('an export', () => {
  const exported = (list: string, query = '') =>
    api.call(`GET /ops/sales/${saleId}/exports/${list}${query}`, { token: operator });
  const rowsOf = (text: string) =>
    parse(text, { bom: true, columns: true, record_delimiter: '\r\n' }) as Record<string, string>[];

  test.each(['reservations', 'purchases', 'customers'])(
    'of %s is CSV that a spreadsheet reads, with every item',
    async (list) => {
      const { status, headers, text } = await exported(list);
      expect([status, headers['content-type'], headers['x-next-cursor']]).toEqual([
        200,
        'text/csv; charset=utf-8',
        undefined,
      ]);
      expect(headers['content-disposition']).toContain('attachment');
      expect(text.startsWith('\ufeff')).toBe(true);
      const { items } = (await look(list, 'limit=100')).body;
      const key = `${list.slice(0, -1)}Id`;
      expect(rowsOf(text).map((row) => [row[key], row.email])).toEqual(
        items.map((item: Record<string, string>) => [item[key], item.email]),
      );
    },
  );

  test('takes the filters of its list, and has no formula in it', async () => {
    await deps.db.change('UPDATE customers SET name = ? WHERE id = ?', [
      '=HYPERLINK("http://x")',
      toBytes(bob.customerId),
    ]);
    const rows = rowsOf((await exported('reservations', '?state=waitlisted')).text);
    expect(rows.map(({ name, state }) => [name, state])).toEqual([[`'=HYPERLINK("http://x")`, 'waitlisted']]);
    expect((await exported('reservations', '?state=nowhere')).body.code).toBe('invalid_input');
    expect((await exported('elsewhere')).body.code).toBe('not_found');
  });

  test('leaves a row in the audit trail, and the trail itself can be exported', async () => {
    await exported('customers', '?state=waitlisted');
    const { text } = await api.call('GET /ops/acts/export', { token: operator });
    const [latest] = rowsOf(text);
    expect(latest).toMatchObject({
      act: 'GET /ops/sales/{saleId}/exports/{list}',
      subjectId: saleId,
      after: '{"rows":1}',
    });
    expect(JSON.parse(latest?.asked ?? '')).toEqual({
      params: { saleId, list: 'customers' },
      query: { state: 'waitlisted' },
    });
    const [row] = (await api.call('GET /ops/acts?limit=1', { token: viewer })).body.items;
    expect(row.act).toBe('GET /ops/acts/export');
  });
});

test('a customer whom the shop’s own system names is found by that name, exactly, and shown with it', async () => {
  const member = 'member-4711';
  const named = `POST /ops/customers/${ada.customerId}/external-id`;
  expect((await api.call(named, { token: operator, json: { externalId: member } })).status).toBe(200);
  const found = {
    reservations: [...ada.reservations].sort(),
    purchases: [ada.purchaseId],
    customers: [ada.customerId],
  };
  for (const [list, ids] of Object.entries(found)) {
    const key = `${list.slice(0, -1)}Id`;
    expect(await idsOf(list, key, `customerExternalId=${member}`)).toEqual(ids);
    for (const query of [
      ...['member', 'Member-4711', 'member-4712', '%25'].map((other) => `customerExternalId=${other}`),
      `customerExternalId=${member}&email=${bob.email}`,
    ]) {
      expect([query, await idsOf(list, key, query)]).toEqual([query, []]);
    }
    const { items } = (await look(list, `customerExternalId=${member}`)).body;
    expect(items[0]).toMatchObject({ email: ada.email, customerExternalId: member });
    const { text } = await api.call(`GET /ops/sales/${saleId}/exports/${list}?customerExternalId=${member}`, {
      token: operator,
    });
    expect(text.split('\r\n')[1]).toContain(`,${member},`);
    expect((await look(list, `customerExternalId=${'x'.repeat(256)}`)).body.code).toBe('invalid_input');
  }
  const { customer } = (await api.call(`GET /ops/customers/${ada.customerId}`, { token: viewer })).body;
  expect(customer.customerExternalId).toBe(member);
});
