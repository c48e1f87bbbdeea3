/** Invented ids: how many look-ups of them reach MySQL, and that counting them hides nothing that exists. */
import { readLiveSale } from '#mirror/live-sale.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { missesAtMost } from '#platform/resilience/unknown-ids.ts';
import { getReservation } from '#reservation/read.ts';
import { requestReservation } from '#reservation/request.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi } from '../support/api.ts';
import { withDeps } from '../support/deps.ts';
import { givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;

beforeAll(async () => {
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

/** An environment that counts MySQL's look-ups. */
function counting(clock = deps.clock) {
  const asked = { times: 0 };
  const rows: Deps['db']['rows'] = (sql, values) => {
    asked.times++;
    return deps.db.rows(sql, values);
  };
  return { deps: withDeps(deps, { db: { ...deps.db, rows }, clock }), asked };
}

test('an invented sale is looked up once in a few seconds, and one just created is found at once', async () => {
  let nowMs = Date.now();
  const { deps: environment, asked } = counting(() => nowMs);
  const invented: SaleId = newId();
  for (let n = 0; n < 5; n++) {
    expect(await readLiveSale(environment, invented)).toBeUndefined();
    nowMs += 300;
  }
  expect(asked.times).toBe(1);
  nowMs += 5_000;
  expect(await readLiveSale(environment, invented)).toBeUndefined();
  expect(asked.times).toBe(2);
  const saleId = await givenSale(deps);
  expect(await readLiveSale(environment, saleId)).toMatchObject({ saleId });
});

test('a caller who asks for many reservations that do not exist has to wait; other callers, and requests with a receipt, do not', async () => {
  const { deps: environment, asked } = counting();
  const customerId: CustomerId = newId();
  const saleId = await givenSale(deps);
  const accepted = await requestReservation(environment, { customerId }, saleId, 'key', { quantity: 1, fill: 'all' });
  if (!('statusUrl' in accepted)) throw new Error('the request was refused');
  asked.times = 0;
  const ask = () => getReservation(environment, customerId, newId());
  for (let n = 0; n < missesAtMost; n++) expect(await ask()).toMatchObject({ refused: 'not_found' });
  expect(asked.times).toBe(missesAtMost);
  expect(await ask()).toMatchObject({ refused: 'too_many_requests' });
  expect(asked.times).toBe(missesAtMost);
  expect(await getReservation(environment, newId(), newId())).toMatchObject({ refused: 'not_found' });

  await deps.redis.flushdb();
  const receipt = new URL(accepted.statusUrl, 'https://example.com').searchParams.get('receipt') ?? '';
  const status = await getReservation(environment, customerId, accepted.reservationId, receipt);
  expect(status).toMatchObject({ state: 'requested', reservationId: accepted.reservationId });
});

test('requests in invented sales, and for invented purchases, are answered 429 when there are many', async () => {
  const { token } = await api.customer();
  const reserve = () =>
    api.call(`POST /sales/${newId()}/reservations`, { token, key: newId(), json: { quantity: 1, fill: 'all' } });
  for (let n = 0; n < missesAtMost; n++) expect((await reserve()).status).toBe(404);
  const refused = await reserve();
  expect([refused.status, refused.body.code]).toEqual([429, 'too_many_requests']);
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
  expect((await api.call(`GET /purchases/${newId()}`, { token })).status).toBe(429);
  const saleId = await givenSale(deps);
  const taken = await api.call(`GET /sales/${saleId}`, { token });
  expect(taken.status).toBe(200);
});
