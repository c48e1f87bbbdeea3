/** Medians, percentiles and comparisons, on numbers that can be checked by hand. */
import { compare, median, percentile, series } from './statistics.ts';

const of = (name: string, values: number[]) => series(name, values, { title: name, unit: 'per second' });

test('the median of an even number of values lies between the middle two', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([9, 1, 5])).toBe(5);
  expect(median([])).toBeNaN();
});

test('a percentile is a value that occurred', () => {
  const values = Array.from({ length: 1_000 }, (_, index) => index + 1);
  expect(percentile(values, 0.99)).toBe(990);
  expect(percentile(values, 1)).toBe(1_000);
  expect(percentile([7], 0.5)).toBe(7);
});

test('ours is compared round by round', () => {
  const measure = compare(of('ours', [100, 10, 100]), of('rival', [10, 1, 20]), { name: 'rate', must: 10, aim: 20 });
  expect(measure).toMatchObject({ ratio: 10, holds: true, rounds: 3, range: [5, 10] });
});

test('where less is better the ratio says how many times less', () => {
  const comparison = { name: 'latency', must: 40, aim: 60, lessIsBetter: true };
  expect(compare(of('ours', [50]), of('rival', [1_000]), comparison)).toMatchObject({ ratio: 20, holds: false });
});
