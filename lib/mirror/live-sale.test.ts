/** Live stock from memory: one look-up for everybody who asks within a moment, and never a phase that is over. */
import { toIso } from '#platform/kernel/clock.ts';
import type { RedisClient } from '#platform/redis/redis.ts';
import type { SaleTermsView } from '#sale/sale.shapes.ts';
import { liveForMs, readLiveSale } from './live-sale.ts';

const saleId = '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a50';
const opensMs = Date.UTC(2026, 0, 1);
const hourMs = 3_600_000;

const terms: SaleTermsView = {
  saleId,
  productId: '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a51',
  name: 'A sale',
  status: 'active',
  price: { amountMinor: 1_000, currency: 'EUR' },
  capPerCustomer: 2,
  waitlistSize: 0,
  offerLifeSeconds: 60,
  reserveOpensAt: toIso(opensMs),
  reserveClosesAt: toIso(opensMs + hourMs),
  purchaseOpensAt: toIso(opensMs + 2 * hourMs),
  purchaseClosesAt: toIso(opensMs + 3 * hourMs),
};

/** A mirror in which the stock changes each time it is read. */
function mirror() {
  let version = 0;
  const redis = {
    hmget: async () => [JSON.stringify(terms), '100', String(100 - version), '0', '0', '0', String(++version), '1'],
  };
  return { redis: redis as unknown as RedisClient, reads: () => version };
}

const depsOf = (redis: RedisClient) => ({ redis }) as unknown as Parameters<typeof readLiveSale>[0];

test('what was read a moment ago is not read again', async () => {
  const { redis, reads } = mirror();
  const deps = depsOf(redis);
  const sale = await readLiveSale(deps, saleId, opensMs);
  for (const laterMs of [0, 1, liveForMs - 1]) {
    expect(await readLiveSale(deps, saleId, opensMs + laterMs)).toEqual(sale);
  }
  expect(reads()).toBe(1);
  expect(await readLiveSale(deps, saleId, opensMs + liveForMs)).toMatchObject({ stock: { version: 2 } });
});

test('I8: the phase is that of the moment of the answer, to the millisecond', async () => {
  const { redis, reads } = mirror();
  const deps = depsOf(redis);
  const phaseAt = async (nowMs: number) => (await readLiveSale(deps, saleId, nowMs))?.phase;
  const phases = await Promise.all([-100, -1, 0, 99].map((ms) => phaseAt(opensMs + ms)));
  expect(phases).toEqual(['scheduled', 'scheduled', 'reserving', 'reserving']);
  expect(reads()).toBe(1);
});
