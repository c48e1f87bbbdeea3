/** Live stock from memory: the same answer as the long way, for a moment, and never of a phase that is over. */
import { openDeps } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import type { Db } from '#platform/mysql/mysql.ts';
import type { RedisClient } from '#platform/redis/redis.ts';
import type { SaleTermsView } from '#sale/sale.shapes.ts';
import { accessOf } from '#sale/visibility.ts';
import { asId, newId } from '#test/support/ids.ts';
import { liveStalenessMs, readLiveSale } from './live-sale.ts';

const saleId = asId('0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a50');
const opensMs = Date.UTC(2026, 0, 1);
const hourMs = 3_600_000;

const terms: SaleTermsView = {
  saleId,
  productId: newId(),
  name: 'A sale',
  status: 'active',
  price: { amountMinor: 1_000, currency: 'EUR' },
  capPerCustomer: 2,
  capPer: 'customer',
  requiresContact: false,
  paymentProvider: null,
  waitlistSize: 0,
  payWithinSeconds: null,
  offerCutoffSeconds: 0,
  pausedAt: null,
  clockStandsAt: null,
  offerLifeSeconds: 60,
  reserveOpensAt: toIso(opensMs),
  reserveClosesAt: toIso(opensMs + hourMs),
  purchaseOpensAt: toIso(opensMs + 2 * hourMs),
  purchaseClosesAt: toIso(opensMs + 3 * hourMs),
  publishAt: toIso(opensMs - hourMs),
  requiresCode: false,
};

/**
 * An environment whose clock stands still, in front of a mirror that knows one sale, in which the stock changes each time
 * it is read, and of a store that knows none.
 */
function environment({ publicFrom = '0', access = '' } = {}) {
  const counts = { mirror: 0, store: 0 };
  const now = { ms: opensMs };
  const redis = {
    guarded: <T>(commands: () => Promise<T>) => commands(),
    hmget: async () => {
      const version = ++counts.mirror;
      const stock = ['1', String(version), '100', String(100 - version), String(version), '0', '0'];
      return [JSON.stringify(terms), publicFrom, access, ...stock];
    },
  } as unknown as RedisClient;
  const db = {
    rows: async () => {
      counts.store++;
      return [];
    },
  } as unknown as Db;
  return { deps: openDeps({}, { redis, db, clock: () => now.ms }), counts, now };
}

test('a recent read is cached', async () => {
  const { deps, counts, now } = environment();
  const sale = await readLiveSale(deps, saleId);
  expect(sale).toMatchObject({ saleId, stock: { version: 1, available: 99, allocated: 1 } });
  for (const laterMs of [0, 1, liveStalenessMs]) {
    now.ms = opensMs + laterMs;
    expect(await readLiveSale(deps, saleId)).toEqual(sale);
  }
  expect(counts.mirror).toBe(1);
  now.ms = opensMs + liveStalenessMs + 1;
  expect(await readLiveSale(deps, saleId)).toMatchObject({ stock: { version: 2 } });
});

test('I8: the phase is that at the time of the response, to the millisecond', async () => {
  const { deps, counts, now } = environment();
  const phases: (string | undefined)[] = [];
  for (const ms of [-100, -1, 0, 99]) {
    now.ms = opensMs + ms;
    phases.push((await readLiveSale(deps, saleId))?.phase);
  }
  expect(phases).toEqual(['scheduled', 'scheduled', 'reserving', 'reserving']);
  expect(counts.mirror).toBe(1);
});

test('I8: a sale is there from its publication on, to the millisecond, and for its code', async () => {
  const access = accessOf(saleId, 'friends-only');
  const { deps, counts, now } = environment({ publicFrom: String(opensMs), access });
  const found: boolean[] = [];
  for (const [ms, code] of [
    [-1, 'friends-only'],
    [0, 'friends-only'],
    [1, 'friends-too'],
    [2, undefined],
  ] as const) {
    now.ms = opensMs + ms;
    found.push((await readLiveSale(deps, saleId, code)) !== undefined);
  }
  expect(found).toEqual([false, true, false, false]);
  expect(counts).toEqual({ mirror: 1, store: 0 });
  expect(await readLiveSale(environment({ publicFrom: '-' }).deps, saleId)).toBeUndefined();
});

test('concurrent reads of a sale share one look-up', async () => {
  const { deps, counts } = environment();
  const sales = await Promise.all(Array.from({ length: 50 }, () => readLiveSale(deps, saleId)));
  expect(new Set(sales.map((sale) => sale?.stock.version))).toEqual(new Set([1]));
  expect(counts.mirror).toBe(1);
});

test('a sale that does not exist is not found, even if its tag is that of another', async () => {
  const { deps, counts } = environment();
  const other = asId(`0190a1b2-c3d4-7e5f-8a9c${saleId.slice(-13)}`);
  expect(await Promise.all([readLiveSale(deps, other), readLiveSale(deps, other)])).toEqual([undefined, undefined]);
  expect(counts).toEqual({ mirror: 1, store: 1 });
});

test('environments do not share their caches', async () => {
  const [one, other] = [environment(), environment()];
  await readLiveSale(one.deps, saleId);
  await readLiveSale(other.deps, saleId);
  expect([one.counts.mirror, other.counts.mirror]).toEqual([1, 1]);
});
