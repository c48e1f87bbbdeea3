/** Pictures of products: announced, brought to the bucket, looked at, shown and removed, on a real bucket of the local stack. */

import { type PictureUpload, picturesAtMost } from '#catalog/picture.shapes.ts';
import { addPicture, removePicture, showPicture } from '#catalog/picture.ts';
import { getSaleWithPicture, pictureStalenessMs } from '#launch/read-sale.ts';
import { type Deps, openDeps } from '#platform/environment/deps.ts';
import { type ProductId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi } from '../support/api.ts';
import { withDeps } from '../support/deps.ts';
import { givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let token: string;
let productId: ProductId;
let skus = 0;

beforeAll(async () => {
  bed = await testBed({ queues: false });
  api = openApi();
  deps = await api.deps();
  token = await api.operator();
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

beforeEach(async () => {
  productId = await newProduct();
});

async function newProduct(): Promise<ProductId> {
  const price = { amountMinor: 100, currency: 'EUR' };
  const json = { sku: `PIC-${++skus}`, name: 'Lamp', description: '', price };
  return (await api.call('POST /products', { json, token })).body.productId;
}

const png = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(64, 1)]);
const alt = { en: 'A lamp', ko: '램프' };
const announced = { type: 'image/png', bytes: png.length, alt };
const path = () => `/products/${productId}/pictures`;
const announce = (json: object = announced, of = path()) => api.call(`POST ${of}`, { json, token });
const show = (pictureId: string, of = path()) => api.call(`POST ${of}/${pictureId}/shown`, { token });
const picturesOf = async (of: string = productId) => (await api.call(`GET /products/${of}`)).body.pictures;

/** Posts a file as a form says. */
async function bring({ body }: { body: PictureUpload }, file: Buffer): Promise<number> {
  const form = new FormData();
  for (const [name, value] of Object.entries(body.upload.fields)) form.append(name, value);
  form.append('file', new Blob([new Uint8Array(file)]), 'picture');
  return (await fetch(body.upload.url, { method: 'POST', body: form })).status;
}

/** What the bucket has under the path of an address. */
const inBucket = (path: string) => fetch(`${bed.registry['bucket/pictures']?.split('?')[0]}${path}`);

async function given(): Promise<{ pictureId: string; path: string }> {
  const answer = await announce();
  expect(await bring(answer, png)).toBe(204);
  const shown = await show(answer.body.pictureId);
  expect(shown.status).toBe(200);
  return shown.body;
}

describe('a picture', () => {
  test('is shown once its file has come and was looked at, and then as it came', async () => {
    const answer = await announce();
    expect([answer.status, await picturesOf()]).toEqual([201, []]);
    expect(await bring(answer, png)).toBe(204);
    expect(await picturesOf()).toEqual([]);
    const { status, body } = await show(answer.body.pictureId);
    const { pictureId } = answer.body;
    const shown = `/pictures/${pictureId}.png`;
    expect([status, body]).toEqual([200, { pictureId, path: shown, type: 'image/png', alt }]);
    expect(await picturesOf()).toEqual([body]);
    const listed = (await api.call('GET /products')).body.items.find((one: { productId: string }) => {
      return one.productId === productId;
    });
    expect(listed.pictures).toEqual([body]);
    const file = await inBucket(shown);
    expect([file.headers.get('content-type'), file.headers.get('cache-control')]).toEqual([
      'image/png',
      'public, max-age=3600',
    ]);
    expect(Buffer.from(await file.arrayBuffer())).toEqual(png);
    expect((await inBucket(`/incoming/${pictureId}`)).status).toBe(404);
  });

  test('does not change afterwards: its form leads elsewhere', async () => {
    const answer = await announce();
    await bring(answer, png);
    const { body } = await show(answer.body.pictureId);
    const other = Buffer.concat([png, Buffer.from('another')]);
    await bring(answer, other);
    expect((await show(answer.body.pictureId)).body).toEqual(body);
    expect(Buffer.from(await (await inBucket(body.path)).arrayBuffer())).toEqual(png);
  });

  test('has a form for its key, type and size alone, for some minutes', async () => {
    const { body } = await announce();
    const policy = JSON.parse(Buffer.from(body.upload.fields.Policy, 'base64').toString());
    expect(policy.conditions).toEqual(
      expect.arrayContaining([
        { bucket: new URL(bed.registry['bucket/pictures'] ?? '').searchParams.get('name') },
        ['content-length-range', 1, png.length],
        { 'Content-Type': 'image/png' },
        { key: `incoming/${body.pictureId}` },
      ]),
    );
    expect(Date.parse(body.upload.expiresAt)).toBe(Date.parse(policy.expiration));
    const lasts = Date.parse(policy.expiration) - Date.now();
    expect(lasts).toBeGreaterThan(500_000);
    expect(lasts).toBeLessThanOrEqual(600_000);
  });

  test('is removed from its product and from the bucket', async () => {
    const first = await given();
    const second = await given();
    expect(await picturesOf()).toEqual([first, second]);
    expect((await api.call(`DELETE ${path()}/${first.pictureId}`, { token })).status).toBe(204);
    expect(await picturesOf()).toEqual([second]);
    expect((await inBucket(first.path)).status).toBe(404);
    expect((await inBucket(second.path)).status).toBe(200);
    expect((await api.call(`DELETE ${path()}/${first.pictureId}`, { token })).status).toBe(404);
  });

  test('that is removed while it is looked at is not left in the bucket', async () => {
    const body = (await addPicture(deps, productId, { ...announced, type: 'image/png' })) as PictureUpload;
    const { pictureId } = body;
    await bring({ body }, png);
    // Removed when the file has been copied: at the next transaction.
    const db = Object.create(deps.db, {
      transaction: {
        value: async (work: Parameters<Deps['db']['transaction']>[0]) => {
          await removePicture(deps, productId, pictureId);
          return deps.db.transaction(work);
        },
      },
    }) as Deps['db'];
    const slow = openDeps(deps.registry, { db });
    expect(await showPicture(slow, productId, pictureId)).toMatchObject({ refused: 'not_found' });
    expect((await inBucket(`/pictures/${pictureId}.png`)).status).toBe(404);
  });

  test('is in the preview of a sale of its product', async () => {
    const headers = { 'holdfast-host': 'shop.example.com' };
    const page = async (saleId: SaleId) => (await api.call(`GET /pages/sales/${saleId}`, { headers })).text;
    const imageIs = (path: string) => `<meta property="og:image" content="https://shop.example.com${path}">`;
    const without = await givenSale(deps);
    expect(await page(without)).toContain(imageIs(`/sales/${without}.png`));
    const { path: shown } = await given();
    const html = await page(await saleOfProduct());
    expect(html).toContain(imageIs(shown));
    expect(html).toContain('<meta property="og:image:alt" content="A lamp">');
  });
});

/** A sale of the product of these tests. */
async function saleOfProduct(): Promise<SaleId> {
  const saleId = await givenSale(deps);
  await deps.db.change('UPDATE sales SET product_id = ? WHERE id = ?', [toBytes(productId), toBytes(saleId)]);
  return saleId;
}

test('previews of a sale have MySQL asked for its picture once in a while, however many there are', async () => {
  const saleId = await saleOfProduct();
  await given();
  let [asked, nowMs] = [0, Date.now()];
  const rows: Deps['db']['rows'] = (sql, values) => {
    if (/FROM product_pictures/.test(sql)) asked++;
    return deps.db.rows(sql, values);
  };
  const environment = withDeps(deps, { db: { ...deps.db, rows }, clock: () => nowMs });
  const preview = () => getSaleWithPicture(environment, saleId, '192.0.2.1', undefined);
  const previews = await Promise.all(Array.from({ length: 20 }, preview));
  expect(previews).toEqual(Array(20).fill(expect.objectContaining({ picture: expect.objectContaining({ alt }) })));
  expect(asked).toBe(1);
  nowMs += pictureStalenessMs + 1;
  await preview();
  expect(asked).toBe(2);
});

describe('refused, and nothing is changed', () => {
  test.each([
    ['nothing', {}],
    ['an SVG', { ...announced, type: 'image/svg+xml' }],
    ['a GIF', { ...announced, type: 'image/gif' }],
    ['a page', { ...announced, type: 'text/html' }],
    ['an empty file', { ...announced, bytes: 0 }],
    ['more than 5 MiB', { ...announced, bytes: 5 * 1_048_576 + 1 }],
    ['half a byte', { ...announced, bytes: 1.5 }],
    ['no words', { ...announced, alt: {} }],
    ['words in one language', { ...announced, alt: { en: 'A lamp' } }],
    ['empty words', { ...announced, alt: { en: '', ko: '램프' } }],
    ['words of several lines', { ...announced, alt: { en: 'A\nlamp', ko: '램프' } }],
    ['301 characters', { ...announced, alt: { en: 'a'.repeat(301), ko: '램프' } }],
    ['a name of its own', { ...announced, name: '../index.html' }],
  ])('announcing %s: 400', async (_, json) => {
    const { status, body } = await announce(json);
    expect([status, body.code]).toEqual([400, 'invalid_input']);
    expect(await count()).toBe(0);
  });

  const count = async () => {
    const rows = await deps.db.rows('SELECT id FROM product_pictures WHERE product_id = ?', [toBytes(productId)]);
    return rows.length;
  };

  test('a picture of no product, and of another one: 404', async () => {
    const nowhere = `/products/${newId()}/pictures`;
    expect((await announce(announced, nowhere)).body.code).toBe('not_found');
    const { pictureId } = await given();
    const elsewhere = `/products/${await newProduct()}/pictures`;
    for (const other of [nowhere, elsewhere]) {
      expect((await show(pictureId, other)).body.code).toBe('not_found');
      expect((await api.call(`DELETE ${other}/${pictureId}`, { token })).body.code).toBe('not_found');
    }
    for (const id of [newId(), 'x', '..']) expect((await show(id)).status).toBe(404);
    expect(await picturesOf()).toHaveLength(1);
  });

  test('one before its file has come: 409; once it has come it is shown, under the same key too', async () => {
    const answer = await announce();
    const key = newId();
    const shown = () => api.call(`POST ${path()}/${answer.body.pictureId}/shown`, { token, key });
    expect((await shown()).body).toMatchObject({ status: 409, code: 'picture_missing' });
    await bring(answer, png);
    expect((await shown()).status).toBe(200);
    expect((await shown()).status).toBe(200);
    expect(await picturesOf()).toHaveLength(1);
  });

  test.each([
    ['an SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')],
    ['a page', Buffer.from('<!doctype html><script>alert(1)</script>')],
    ['a JPEG that was announced as a PNG', Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), Buffer.alloc(32)])],
    ['a file that is larger than announced', Buffer.concat([png, png])],
    ['a file that is cut off', png.subarray(0, 5)],
  ])('%s: 422, and the file is gone; the right one may come after it', async (_, file) => {
    const answer = await announce();
    await bring(answer, file);
    expect((await show(answer.body.pictureId)).body).toMatchObject({ status: 422, code: 'not_a_picture' });
    expect(await picturesOf()).toEqual([]);
    expect((await inBucket(`/incoming/${answer.body.pictureId}`)).status).toBe(404);
    expect((await inBucket(`/pictures/${answer.body.pictureId}.png`)).status).toBe(404);
    await bring(answer, png);
    expect((await show(answer.body.pictureId)).status).toBe(200);
  });

  test('one more than a product may have: 409, also when several are announced at once', async () => {
    const answers = await Promise.all(Array.from({ length: picturesAtMost + 2 }, () => announce()));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(picturesAtMost);
    const refused = answers.filter(({ status }) => status !== 201);
    expect(refused.map(({ status, body }) => [status, body.code])).toEqual(Array(2).fill([409, 'too_many_pictures']));
    const [one] = answers.filter(({ status }) => status === 201);
    await api.call(`DELETE ${path()}/${one?.body.pictureId}`, { token });
    expect((await announce()).status).toBe(201);
  });

  test('a picture whose file never came keeps its place for an hour', async () => {
    for (let n = 0; n < picturesAtMost; n++) await announce();
    const after = (ms: number) => openDeps(deps.registry, { db: deps.db, clock: () => Date.now() + ms });
    const again = (ms: number) => addPicture(after(ms), productId, { ...announced, type: 'image/png' });
    expect(await again(3_500_000)).toMatchObject({ refused: 'too_many_pictures' });
    expect(await again(3_700_000)).toMatchObject({ pictureId: expect.any(String) });
  });
});

test('a key of a program needs the scope of the catalog', async () => {
  const admin = await api.operator('admin');
  const keyed = async (scope: string) => {
    const json = { name: `Key for ${scope}`, scopes: [scope] };
    return (await api.call('POST /ops/api-keys', { json, token: admin })).body.key;
  };
  const [right, wrong] = [await keyed('catalog:write'), await keyed('sales:write')];
  const call = (key: string) => api.call(`POST ${path()}`, { json: announced, token: key });
  expect((await call(wrong)).body.code).toBe('missing_scope');
  expect((await call(right)).status).toBe(201);
});
