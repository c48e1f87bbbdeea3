import { newId } from '#test/support/ids.ts';
import { bucketsOf, claimBucket, newSaleId, saleTag } from './sale-id.ts';

test.each([
  [1, 1],
  [24, 1],
  [1_000, 64],
  [100_000, 8_192],
  [100_000_000, 32_768],
])('the claims of %d expected reservations are spread over %d buckets', (expected, buckets) => {
  const tag = saleTag(newSaleId(expected, Date.now()));
  expect(bucketsOf(tag)).toHaveLength(buckets);
  const used = new Set(Array.from({ length: 2_000 }, () => claimBucket(tag, newId())));
  expect(Math.min(...used)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...used)).toBeLessThan(buckets);
  expect(used.size).toBeGreaterThan(Math.min(buckets, 1_000) * 0.8);
});
