import type { SaleReport } from '../types.ts';
import { withPart } from './report-sum.ts';

const none = { refunds: 0, amountMinor: 0 };
const turn = { requests: 2, served: 1, waiting: 1, turnedDown: 0, left: 0 };
const point = { at: '2030-05-01T18:00:00.000Z', requested: 2, decided: 2, allocated: 1, sold: 0, released: 0 };

const part = (change: Partial<SaleReport>): SaleReport => ({
  ...{ stepSeconds: 1, points: [point], turnedDown: {}, turns: [turn], granted: 0, nextCursor: null },
  money: {
    ...{ currency: 'EUR', purchases: 1, paidMinor: 100 },
    refunds: { pending: none, refunded: { refunds: 1, amountMinor: 40 }, failed: none },
  },
  ...change,
});

test('parts add up by place and by name', () => {
  const first = part({ turnedDown: { sold_out: 2 }, granted: 1, nextCursor: 'next' });
  const second = part({ turnedDown: { sold_out: 1, over_cap: 3 }, turns: [turn, turn] });
  expect(withPart(first, second)).toEqual({
    ...{ stepSeconds: 1, turnedDown: { sold_out: 3, over_cap: 3 }, granted: 1, nextCursor: null },
    points: [{ ...point, requested: 4, decided: 4, allocated: 2 }],
    turns: [{ ...turn, requests: 4, served: 2, waiting: 2 }, turn],
    money: {
      ...{ currency: 'EUR', purchases: 2, paidMinor: 200 },
      refunds: { pending: none, refunded: { refunds: 2, amountMinor: 80 }, failed: none },
    },
  });
});

test('a last part in which nothing has happened changes nothing', () => {
  const first = part({ nextCursor: 'next' });
  const money = {
    ...first.money,
    purchases: 0,
    paidMinor: 0,
    refunds: { pending: none, refunded: none, failed: none },
  };
  const still = { ...point, requested: 0, decided: 0, allocated: 0 };
  expect(withPart(first, part({ points: [still], turns: [], money }))).toEqual({ ...first, nextCursor: null });
});
