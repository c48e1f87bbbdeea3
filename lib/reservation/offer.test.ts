import type { SaleId } from '#platform/kernel/ids.ts';
import type { SaleRow } from '#sale/sale.store.ts';
import { newId } from '#test/support/ids.ts';
import { decideOffers } from './offer.ts';
import type { Waiting } from './reservation.store.ts';

const saleId: SaleId = newId();
const sale = {
  saleId,
  status: 'active',
  offerLifeMs: 60_000,
  clockOffsetMs: 0,
  offerCutoffMs: 0,
  purchaseOpensAtMs: 100_000,
  purchaseClosesAtMs: 200_000,
} as SaleRow;

const waiting = (ticket: number, quantity: number, atLeast = quantity): Waiting => ({
  reservationId: newId(),
  customerId: newId(),
  saleId,
  ticket,
  quantity,
  atLeast,
  version: 1,
});

const offered = (available: number, line: Waiting[], change: Partial<SaleRow> = {}, nowMs = 110_000) =>
  decideOffers({ ...sale, ...change }, available, line, nowMs).map((one) => [one.waiting.ticket, one.units]);

test('units are offered in ticket order', () => {
  expect(offered(5, [waiting(3, 2), waiting(1, 2), waiting(2, 2)])).toEqual([
    [1, 2],
    [2, 2],
  ]);
});

test('a reservation whose minimum does not fit keeps its place and does not block the next', () => {
  expect(offered(3, [waiting(1, 5), waiting(2, 2), waiting(3, 4, 1)])).toEqual([
    [2, 2],
    [3, 1],
  ]);
});

test('an offer has its full life, starts no earlier than the window, and never outlives it', () => {
  const deadlineAt = (nowMs: number) => decideOffers(sale, 1, [waiting(1, 1)], nowMs)[0]?.deadlineMs;
  expect(deadlineAt(50_000)).toBe(160_000);
  expect(deadlineAt(110_000)).toBe(170_000);
  expect(deadlineAt(190_000)).toBe(200_000);
});

test('M11: no offer is made later than the cut-off before the close', () => {
  const cutoff = { offerCutoffMs: 20_000 };
  expect(offered(1, [waiting(1, 1)], cutoff, 179_999)).toEqual([[1, 1]]);
  expect(offered(1, [waiting(1, 1)], cutoff, 180_000)).toEqual([]);
});

test.each([
  ['paused', { status: 'paused' as const }, 110_000],
  ['cancelled', { status: 'cancelled' as const }, 110_000],
  ['over', {}, 200_000],
])('nothing is offered in a sale that is %s', (_, change, nowMs) => {
  expect(offered(5, [waiting(1, 1)], change, nowMs)).toEqual([]);
});
