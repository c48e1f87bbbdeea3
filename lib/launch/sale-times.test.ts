import { refuseDisorder } from './sale-times.ts';

const times = { reserveOpensAtMs: 100, reserveClosesAtMs: 200, purchaseOpensAtMs: 150, purchaseClosesAtMs: 300 };

test.each([
  ['as they should be', {}, undefined],
  ['with a reservation period as long as the purchase window', { reserveClosesAtMs: 300 }, undefined],
  ['S11: with a reservation period that outlasts the purchase window', { reserveClosesAtMs: 301 }, 'invalid_input'],
  ['with a reservation period that ends before it begins', { reserveOpensAtMs: 200 }, 'invalid_input'],
  ['with a purchase window that ends before it begins', { purchaseOpensAtMs: 300 }, 'invalid_input'],
  ['with reservations that open after the purchase window', { reserveOpensAtMs: 151 }, 'invalid_input'],
])('times %s', (_, change, refused) => {
  expect(refuseDisorder({ ...times, ...change })?.refused).toBe(refused);
});
