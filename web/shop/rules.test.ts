import fc from 'fast-check';
import type { PurchaseView, ReservationView, SaleView } from '../types.ts';
import {
  boundaryOf,
  byUrgency,
  isOvertaken,
  isPast,
  isReservingOver,
  isStill,
  leftOfCap,
  nextOf,
  phaseOf,
  sumsOf,
  takingOf,
} from './rules.ts';

const at = (seconds: number) => new Date(1_900_000_000_000 + seconds * 1_000).toISOString();
const ms = (seconds: number) => Date.parse(at(seconds));

const sale = (change: Partial<SaleView> = {}) =>
  ({
    ...{ saleId: 's', status: 'active', capPerCustomer: 4, waitlistSize: 2 },
    ...{ reserveOpensAt: at(10), reserveClosesAt: at(20), purchaseOpensAt: at(30), purchaseClosesAt: at(40) },
    stock: { epoch: 1, version: 1, allotment: 5, available: 5, allocated: 0, sold: 0, waitlisted: 0 },
    ...change,
  }) as SaleView;
const stock = (change: Partial<SaleView['stock']>) => ({ ...sale().stock, ...change });
const mine = (change: Partial<ReservationView> = {}) =>
  ({
    ...{ reservationId: 'r', saleId: 's', state: 'allocated', units: 2, quantity: 2 },
    deadline: null,
    ...change,
  }) as ReservationView;
const purchase = (change: Partial<PurchaseView>) =>
  ({ state: 'requested', items: [{ reservationId: 'r' }], action: null, ...change }) as PurchaseView;

test('the phase of a sale, and what ends it', () => {
  const phases = [5, 15, 25, 35, 45].map((now) => [phaseOf(sale(), ms(now)), boundaryOf(sale(), ms(now))?.at]);
  expect(phases).toEqual([
    ['scheduled', at(10)],
    ['reserving', at(20)],
    ['reserved', at(30)],
    ['purchasing', at(40)],
    ['closed', undefined],
  ]);
  expect(boundaryOf(sale({ status: 'paused' }), ms(15))).toBeUndefined();
  expect([sale({ status: 'cancelled' }), sale()].map((one) => isPast(one, ms(15)))).toEqual([true, false]);
});

test('the time to reserve is over when it ends, or when the sale does', () => {
  expect([15, 19, 20, 35, 45].map((now) => isReservingOver(sale(), ms(now)))).toEqual([false, false, true, true, true]);
  const longer = sale({ reserveClosesAt: at(60) });
  expect([39, 40].map((now) => isReservingOver(longer, ms(now)))).toEqual([false, true]);
});

test('a sale that is looked at is said to stand still if the page is not live, or its watch is not confirmed soon', () => {
  const link = { isLive: true, isWatched: false, askedAtMs: ms(10) };
  expect([10, 11, 12, 60].map((now) => isStill(link, ms(now)))).toEqual([false, false, true, true]);
  expect(isStill({ ...link, isWatched: true }, ms(60))).toBe(false);
  expect(isStill({ ...link, askedAtMs: undefined }, ms(10))).toBe(true);
  expect(isStill({ ...link, isLive: false, isWatched: true }, ms(10))).toBe(true);
});

describe('how a sale takes a request', () => {
  test.each([
    ['all of it free', stock({}), 2, 'units'],
    ['two of five free, three asked for', stock({ available: 2 }), 3, 'some'],
    ['nothing free, a place on the waitlist', stock({ available: 0, waitlisted: 1 }), 1, 'waitlist'],
    ['nothing free, no place', stock({ available: 0, waitlisted: 2 }), 1, 'full'],
    ['something free, but others wait before', stock({ available: 1, waitlisted: 1 }), 1, 'waitlist'],
  ])('%s', (_, level, quantity, taking) => {
    expect(takingOf(sale({ stock: level }), quantity, ms(15))).toBe(taking);
  });

  test('not at all outside of its time, paused or called off', () => {
    expect([5, 20].map((now) => takingOf(sale(), 1, ms(now)))).toEqual(['no', 'no']);
    for (const status of ['paused', 'cancelled'] as const) expect(takingOf(sale({ status }), 1, ms(15))).toBe('no');
  });

  test('a customer has what the cap leaves', () => {
    const own = [mine({ state: 'waitlisted', quantity: 1, units: 0 }), mine({ units: 2 }), mine({ state: 'expired' })];
    expect(leftOfCap(sale(), own)).toBe(1);
    expect(leftOfCap(sale(), [...own, mine()])).toBe(0);
  });
});

describe('what comes next', () => {
  test.each([
    ['before the window', mine(), [], 25, 'later'],
    ['in the window', mine(), [], 35, 'buy'],
    ['after its own deadline', mine({ deadline: at(34) }), [], 35, 'over'],
    ['while paying', mine(), [purchase({})], 35, 'paying'],
    ['after a decline', mine(), [purchase({ state: 'declined' })], 35, 'buy'],
    ['in line', mine({ state: 'requested', position: 3 }), [], 15, 'deciding'],
    ['bought', mine({ state: 'purchased' }), [], 35, 'done'],
    ['turned down', mine({ state: 'rejected' }), [], 35, 'ended'],
  ])('%s', (_, reservation, purchases, now, kind) => {
    expect(nextOf(reservation, sale(), purchases, ms(now)).kind).toBe(kind);
  });

  test('to confirm with the bank, until the deadline of the action', () => {
    const action = { url: 'https://bank.example', deadline: at(50), transferTo: null };
    const next = nextOf(mine(), sale(), [purchase({ state: 'requires_action', action })], ms(35));
    expect(next).toMatchObject({ kind: 'confirm', until: at(50), url: action.url });
  });

  test('nothing while the sale is paused', () => {
    expect(nextOf(mine(), sale({ status: 'paused' }), [], ms(35)).kind).toBe('paused');
  });

  test('a purchase is offered only while the server would take it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 60 }),
        fc.option(fc.integer({ min: 25, max: 60 }), { nil: null }),
        (now, deadline) => {
          const reservation = mine({ deadline: deadline === null ? null : at(deadline) });
          const offered = nextOf(reservation, sale(), [], ms(now)).kind === 'buy';
          expect(offered).toBe(now >= 30 && now < Math.min(40, deadline ?? 40));
        },
      ),
    );
  });

  test('what must be done first comes first', () => {
    const next = (reservation: ReservationView, now = 35) => ({
      reservation,
      next: nextOf(reservation, sale(), [], ms(now)),
    });
    const list = [
      next(mine({ state: 'waitlisted', position: 1 })),
      next(mine({ deadline: at(39) })),
      next(mine({ deadline: at(36) })),
    ];
    expect(list.sort(byUrgency).map(({ reservation }) => reservation.deadline)).toEqual([at(36), at(39), null]);
  });
});

test('sums are kept apart by currency', () => {
  const items = [
    { units: 2, price: { amountMinor: 4_900, currency: 'EUR' } },
    { units: 1, price: { amountMinor: 189_000, currency: 'KRW' } },
    { units: 1, price: { amountMinor: 100, currency: 'EUR' } },
  ];
  expect(sumsOf(items)).toEqual([
    { currency: 'EUR', amountMinor: 9_900 },
    { currency: 'KRW', amountMinor: 189_000 },
  ]);
});

test.each([
  ['nothing was read before', undefined, { epoch: 1, version: 1 }, false],
  ['the same', { epoch: 1, version: 3 }, { epoch: 1, version: 3 }, false],
  ['newer', { epoch: 1, version: 3 }, { epoch: 1, version: 4 }, false],
  ['of a later epoch', { epoch: 1, version: 3 }, { epoch: 2, version: 1 }, false],
  ['older', { epoch: 1, version: 3 }, { epoch: 1, version: 2 }, true],
  ['of an earlier epoch', { epoch: 2, version: 1 }, { epoch: 1, version: 9 }, true],
] as const)('an answer is overtaken only by one that is newer: %s', (_, read, answer, overtaken) => {
  expect(isOvertaken(read, answer)).toBe(overtaken);
});
