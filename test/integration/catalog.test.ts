/** The catalog, on a real MySQL: reading, writing by operators, and the import. */

import { readRows } from '#catalog/import.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi } from '../support/api.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let operator: string;
let customer: string;

beforeAll(async () => {
  bed = await testBed({ queues: false });
  api = openApi();
  deps = await api.deps();
  operator = await api.operator();
  customer = (await api.customer()).token;
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

beforeEach(() => deps.db.change('DELETE FROM products'));

const chair = {
  sku: 'CHAIR-1',
  name: 'Chair “Ø”',
  description: 'Oak.\nSits one.',
  price: { amountMinor: 12_900, currency: 'EUR' },
};
const header = 'sku,name,description,price_minor,currency';
const importFile = (text: string, token = operator) =>
  api.call('POST /products/import', { text, token, headers: { 'content-type': 'text/csv; charset=utf-8' } });
const countProducts = async () => (await deps.db.rows('SELECT id FROM products')).length;

describe('products', () => {
  test('are created and changed by operators and read by everyone', async () => {
    const created = await api.call('POST /products', { json: chair, token: operator });
    expect(created.status).toBe(201);
    const { productId } = created.body;
    expect((await api.call(`GET /products/${productId}`)).body).toEqual({ productId, ...chair });
    const changed = await api.call(`PATCH /products/${productId}`, {
      json: { description: '', price: { amountMinor: 9_900, currency: 'USD' } },
      token: operator,
    });
    expect(changed.body).toEqual({
      productId,
      ...chair,
      description: '',
      price: { amountMinor: 9_900, currency: 'USD' },
    });
    expect((await api.call(`GET /products/${productId}`)).body).toEqual(changed.body);
  });

  test('cannot be written by customers or without signing in', async () => {
    for (const [token, status] of [
      [undefined, 401],
      [customer, 403],
    ] as const) {
      expect((await api.call('POST /products', { json: chair, token })).status).toBe(status);
      expect((await api.call(`PATCH /products/${newId()}`, { json: { name: 'x' }, token })).status).toBe(status);
      expect((await importFile(`${header}\nA,A,,1,EUR\n`, token ?? '')).status).toBe(status);
    }
    expect(await countProducts()).toBe(0);
  });

  test('have a SKU of their own, also when two are created at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => api.call('POST /products', { json: chair, token: operator })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409]);
    expect(answers.find(({ status }) => status === 409)?.body.code).toBe('sku_taken');
  });

  test('that do not exist are 404 to read and to change', async () => {
    expect((await api.call(`GET /products/${newId()}`)).body.code).toBe('not_found');
    const changed = await api.call(`PATCH /products/${newId()}`, { json: { name: 'x' }, token: operator });
    expect(changed.body.code).toBe('not_found');
  });

  test('are listed page by page, the newest first, each once', async () => {
    for (let n = 0; n < 5; n++) {
      await api.call('POST /products', { json: { ...chair, sku: `CHAIR-${n}` }, token: operator });
    }
    const seen: string[] = [];
    let next = '';
    do {
      const { body } = await api.call(`GET /products?limit=2${next}`);
      seen.push(...body.items.map(({ sku }: { sku: string }) => sku));
      next = body.nextCursor ? `&cursor=${body.nextCursor}` : '';
    } while (next);
    expect([...seen].sort()).toEqual(['CHAIR-0', 'CHAIR-1', 'CHAIR-2', 'CHAIR-3', 'CHAIR-4']);
    expect(new Set(seen).size).toBe(5);
  });
});

describe('the import', () => {
  test('creates what is new and updates what is there, and does so again when repeated', async () => {
    await api.call('POST /products', { json: chair, token: operator });
    const file = `\ufeff${header}\r\nCHAIR-1,Stool,"Low, ""round""",4900,EUR\r\n\r\nTABLE-1,Tisch,,19900,EUR\r\n`;
    expect((await importFile(file)).body).toEqual({ created: 1, updated: 1 });
    expect((await importFile(file)).body).toEqual({ created: 0, updated: 2 });
    const { body } = await api.call('GET /products');
    expect(body.items).toHaveLength(2);
    expect(body.items.find(({ sku }: { sku: string }) => sku === 'CHAIR-1')).toMatchObject({
      name: 'Stool',
      description: 'Low, "round"',
      price: { amountMinor: 4_900, currency: 'EUR' },
    });
  });

  test('takes the columns in any order', async () => {
    const { body } = await importFile('currency,price_minor,sku,description,name\nEUR,5,A,,Nail\n');
    expect(body).toEqual({ created: 1, updated: 0 });
  });

  test('writes nothing if one row is wrong, and says what is wrong in which row', async () => {
    const file = [
      header,
      'GOOD-1,Good,,100,EUR',
      'BAD 1,Blank in the SKU,,100,EUR',
      'BAD-2,,No name,100,EUR',
      'BAD-3,Price,,1.50,EUR',
      'BAD-4,Price,,0,EUR',
      'BAD-5,Currency,,100,EURO',
      'BAD-6,Currency,,100,ZZZ',
      'BAD-7,Cells,,100',
      'GOOD-1,Twice,,100,EUR',
      '=cmd(),Formula,,100,EUR',
      'BAD-8,Direction \u202e,,100,EUR',
    ].join('\n');
    const { status, body } = await importFile(file);
    expect([status, body.code]).toEqual([422, 'import_rejected']);
    expect(body.rows.map(({ row, field }: { row: number; field: string }) => [row, field])).toEqual([
      [3, 'sku'],
      [4, 'name'],
      [5, 'price_minor'],
      [6, 'price_minor'],
      [7, 'currency'],
      [8, 'currency'],
      [9, ''],
      [10, 'sku'],
      [11, 'sku'],
      [12, 'name'],
    ]);
    expect(await countProducts()).toBe(0);
  });

  test.each([
    ['no rows', header],
    ['no header', 'A,Nail,,100,EUR\n'],
    ['a column too many', `${header},role\nA,Nail,,100,EUR,operator\n`],
    ['a column twice', 'sku,sku,name,description,price_minor\nA,A,Nail,,100\n'],
    ['quotes that do not end', `${header}\n"A,Nail,,100,EUR\n`],
    ['too many rows', `${header}\n${Array.from({ length: 5_001 }, (_, n) => `A${n},Nail,,1,EUR`).join('\n')}`],
    ['something else altogether', '{"sku":"A"}'],
  ])('refuses a file with %s', async (_what, file) => {
    const { status, body } = await importFile(file);
    expect([status, body.code]).toEqual([422, 'import_rejected']);
    expect(body.rows.length).toBeGreaterThan(0);
    expect(await countProducts()).toBe(0);
  });

  test('two at once leave each product once', async () => {
    const rows = (price: number) => Array.from({ length: 800 }, (_, n) => `P-${n},Product ${n},,${price},EUR`);
    const [one, other] = await Promise.all([
      importFile([header, ...rows(1)].join('\n')),
      importFile([header, ...rows(2).reverse()].join('\n')),
    ]);
    expect([one.status, other.status]).toEqual([200, 200]);
    const prices = await deps.db.rows<{ price: number; n: number }>(
      'SELECT price_minor AS price, COUNT(*) AS n FROM products GROUP BY price_minor',
    );
    expect(prices.map(({ n }) => n).reduce((sum, n) => sum + n)).toBe(800);
  });

  test('a file of a million quotes is read quickly', () => {
    const startedAt = Date.now();
    readRows(`${header}\n${'"'.repeat(1_000_000)}`);
    readRows(`${header}\n${','.repeat(1_000_000)}`);
    expect(Date.now() - startedAt).toBeLessThan(3_000);
  });
});
