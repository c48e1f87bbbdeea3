import fc from 'fast-check';
import { newId } from '#test/support/ids.ts';
import type { Delivery } from './delivery.store.ts';
import { afterAttempt, isAlive, type Outcome, retriedForMs, retryDelaysMs } from './retry.ts';

const fresh: Delivery = {
  ...{ endpointId: newId(), messageId: newId(), state: 'pending', round: 0, attempts: 0, firstAttemptAtMs: null },
  ...{ dueAtMs: 0, lastAttemptAtMs: null, lastStatus: null, lastError: null, lastTookMs: null },
};
const refused: Outcome = { kind: 'not-taken', status: 500, error: 'status_500', tookMs: 1 };

/** What the store does before an attempt. */
const counted = (delivery: Delivery, nowMs: number): Delivery => ({
  ...delivery,
  attempts: delivery.attempts + 1,
  firstAttemptAtMs: delivery.firstAttemptAtMs ?? nowMs,
});

test('an endpoint that never answers is asked for three days, ever more seldom, and then given up', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (chance) => {
      let delivery = fresh;
      const times: number[] = [];
      let nowMs = 1_000;
      while (delivery.state === 'pending') {
        times.push(nowMs);
        delivery = { ...delivery, ...afterAttempt(counted(delivery, nowMs), refused, nowMs, () => chance) };
        nowMs = delivery.dueAtMs;
      }
      const lastMs = (times.at(-1) ?? 0) - 1_000;
      expect(lastMs).toBeLessThanOrEqual(retriedForMs);
      expect(lastMs).toBeGreaterThan(retriedForMs * 0.8);
      expect(times.length).toBeLessThan(20);
      const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
      for (const [index, gap] of gaps.entries()) {
        const most = retryDelaysMs[Math.min(index, retryDelaysMs.length - 1)] ?? 0;
        expect(gap).toBeLessThanOrEqual(most);
        expect(gap).toBeGreaterThanOrEqual(most * 0.9 - 1);
      }
    }),
  );
});

test('an attempt that was not made does not count, and begins nothing', () => {
  const once = counted(fresh, 5_000);
  const postponed = afterAttempt(once, { kind: 'postponed', delayMs: 700 }, 6_000, () => 0);
  expect(postponed).toMatchObject({ state: 'pending', attempts: 0, firstAttemptAtMs: null, dueAtMs: 6_700 });
  const twice = { ...counted({ ...fresh, attempts: 3, firstAttemptAtMs: 1 }, 5_000) };
  const again = afterAttempt(twice, { kind: 'postponed', delayMs: 700 }, 6_000, () => 0);
  expect(again).toMatchObject({ attempts: 3, firstAttemptAtMs: 1, lastAttemptAtMs: null });
});

test('one that is taken is over', () => {
  const taken = afterAttempt(counted(fresh, 5), { kind: 'taken', status: 204, tookMs: 3 }, 9, () => 0);
  expect(taken).toMatchObject({ state: 'delivered', attempts: 1, lastStatus: 204, lastError: null, lastTookMs: 3 });
});

test('only what says that the endpoint does not work counts for its breaker', () => {
  expect([400, 404, 410, 301, 200].map(isAlive)).toEqual([true, true, true, true, true]);
  expect([500, 502, 503, 408, 429].map(isAlive)).toEqual([false, false, false, false, false]);
});
