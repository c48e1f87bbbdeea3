import { defaultOfferCutoffMs, refuseCutoff, refuseDisorder } from './sale-times.ts';

const times = { reserveOpensAtMs: 100, reserveClosesAtMs: 200, purchaseOpensAtMs: 150, purchaseClosesAtMs: 300 };

test.each([
  ['as they should be', {}, undefined],
  ['with a reservation period as long as the purchase window', { reserveClosesAtMs: 300 }, undefined],
  ['with a shift beyond what a time can be', { purchaseClosesAtMs: Date.UTC(2100, 0, 1) }, 'unprocessable'],
  ['S11: with a reservation period that outlasts the purchase window', { reserveClosesAtMs: 301 }, 'unprocessable'],
  ['with a reservation period that ends before it begins', { reserveOpensAtMs: 200 }, 'unprocessable'],
  ['with a purchase window that ends before it begins', { purchaseOpensAtMs: 300 }, 'unprocessable'],
  ['with reservations that open after the purchase window', { reserveOpensAtMs: 151 }, 'unprocessable'],
])('times %s', (_, change, refused) => {
  expect(refuseDisorder({ ...times, ...change })?.refused).toBe(refused);
});

const windowOf = (lengthMs: number) => ({ purchaseOpensAtMs: 100, purchaseClosesAtMs: 100 + lengthMs });

test.each([
  [3_600_000, 60_000],
  [200_000, 20_000],
  [15_500, 2_000],
  [2_000, 1_000],
  [900, 0],
])('a window of %d ms has by itself a cut-off of %d ms, which is permitted', (lengthMs, cutoffMs) => {
  expect(defaultOfferCutoffMs(windowOf(lengthMs))).toBe(cutoffMs);
  expect(refuseCutoff(cutoffMs, windowOf(lengthMs))).toBeUndefined();
});

test('a cut-off as long as the window, or longer, is refused', () => {
  expect(refuseCutoff(60_000, windowOf(60_001))).toBeUndefined();
  for (const lengthMs of [60_000, 1]) expect(refuseCutoff(60_000, windowOf(lengthMs))?.refused).toBe('unprocessable');
});
