import type { SaleOverview } from '../types.ts';
import { rateOf, type Sample, sampleOf, samplesOf, timeTicks, withSample } from './curves.ts';

const begin = Date.parse('2030-05-01T18:00:00Z');
const point = (step: number, more: object = {}) => ({
  ...{
    at: new Date(begin + step * 10_000).toISOString(),
    requested: 0,
    decided: 0,
    allocated: 0,
    sold: 0,
    released: 0,
  },
  ...more,
});
const sample = (at: number, requested = 0): Sample => ({
  ...{ at, requested, decided: 0, refused: 0, available: 0, sold: 0, waiting: 0, age: 0 },
  cutOff: 0,
});

test('what the record says begins with nothing, adds up, and ends where the page has seen for itself', () => {
  const points = [
    point(0, { requested: 5, decided: 4, allocated: 6 }),
    point(1, { sold: 2, released: 1 }),
    point(2, { requested: 9 }),
  ];
  const samples = samplesOf({ points, stepSeconds: 10 }, { allotment: 10 }, begin / 1_000 + 25);
  expect(samples.map(({ requested, decided, available, sold }) => [requested, decided, available, sold])).toEqual([
    [0, 0, 10, 0],
    [5, 4, 4, 0],
    [5, 4, 5, 2],
  ]);
});

test('a moment has what the overview says of it, with how many breakers do not let calls through', () => {
  const overview = {
    ...{
      breakers: { mysql: 'closed', redis: 'open', sqs: 'half-open' },
      gate: { requests: 7, refused: { over_cap: 3 } },
    },
    ...{
      reservations: { requested: 2, allocated: 4, waitlisted: 1 },
      queues: { reservations: { oldestMessageMs: 1_500 } },
    },
    stock: { available: 6, sold: 0, waitlisted: 1 },
  } as unknown as SaleOverview;
  expect(sampleOf(overview, 30_000)).toEqual({
    ...{ at: 30, requested: 7, decided: 5, refused: 3, available: 6, sold: 0, waiting: 1, age: 1.5, cutOff: 2 },
  });
});

test('a page that stays open thins out what it saw long ago, and keeps its beginning and its end', () => {
  let samples: Sample[] = [];
  for (let at = 0; at < 10_000; at++) samples = withSample(samples, sample(at));
  expect(samples.length).toBeLessThanOrEqual(2_000);
  expect([samples[0]?.at, samples.at(-1)?.at]).toEqual([0, 9_999]);
  expect(samples.every(({ at }, index) => index === 0 || at > (samples[index - 1]?.at ?? 0))).toBe(true);
});

test('a rate is of the last seconds, and never below nothing', () => {
  expect(rateOf([])).toBe(0);
  expect(rateOf([sample(0, 0), sample(20, 100), sample(30, 200)])).toBe(10);
  expect(rateOf([sample(0, 50), sample(2, 0)])).toBe(0);
});

describe('the times of an axis', () => {
  test('are at full steps of the clock that is read', () => {
    expect(timeTicks(1_001, 1_060, 4, 0)).toEqual([1_005, 1_020, 1_035, 1_050]);
    // India is half an hour beside the full hours of UTC.
    expect(timeTicks(0, 7_199, 2, 19_800)).toEqual([1_800, 5_400]);
    expect(timeTicks(0, 3 * 86_400, 5, 32_400)).toEqual([54_000, 140_400, 226_800]);
  });

  test('are never fewer than two, however little room there is, and never too many', () => {
    for (let length = 1; length < 400 * 86_400; length = Math.ceil(length * 1.7)) {
      for (const most of [2, 3, 7]) {
        const ticks = timeTicks(1_234_567, 1_234_567 + length, most, 32_400);
        expect([length, most, ticks.length >= 2 && ticks.length <= most]).toEqual([length, most, true]);
        expect([ticks[0] ?? 0, ticks.at(-1) ?? 0].every((at) => at >= 1_234_567 && at <= 1_234_567 + length)).toBe(
          true,
        );
      }
    }
  });
});
