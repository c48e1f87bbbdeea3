import fc from 'fast-check';
import type { SaleRow } from '#sale/sale.store.ts';
import { newId } from '#test/support/ids.ts';
import { type Claim, decide } from './decide.ts';
import type { Holdings } from './reservation.store.ts';

const saleId = newId();
const openAtMs = 1_000;

function sale(change: Partial<SaleRow> = {}): SaleRow {
  return {
    saleId,
    productId: newId(),
    name: 'A sale',
    epoch: 1,
    version: 1,
    allotment: 10,
    available: 10,
    allocated: 0,
    sold: 0,
    waitlisted: 0,
    status: 'active',
    phase: 'reserving',
    capPerCustomer: 10,
    capPer: 'customer',
    requiresContact: false,
    paymentProvider: null,
    waitlistSize: 1,
    offerLifeMs: 60_000,
    reserveOpensAtMs: openAtMs,
    reserveClosesAtMs: 2_000,
    purchaseOpensAtMs: 3_000,
    purchaseClosesAtMs: 4_000,
    remindedAtMs: null,
    payWithinMs: null,
    offerCutoffMs: 0,
    pausedAtMs: null,
    pauseBeganMs: null,
    clockOffsetMs: 0,
    endsWait: false,
    publicFromMs: 0,
    publishTold: true,
    accessCode: null,
    termsVersion: 0,
    priceMinor: 100,
    currency: 'EUR',
    ...change,
  };
}

function claim(change: Partial<Claim> = {}): Claim {
  const quantity = change.quantity ?? 1;
  return {
    reservationId: newId(),
    saleId,
    customerId: newId(),
    quantity,
    atLeast: quantity,
    ticket: 1,
    acceptedAtMs: openAtMs,
    gated: true,
    ...change,
  };
}

const outcome = (claims: Claim[], row = sale(), held: Holdings = new Map(), nowMs = 1_500) => {
  const { decisions, ...rest } = decide(claims, new Map([[row.saleId, row]]), held, nowMs);
  return { ...rest, decisions: decisions.map(({ state, units, reason }) => [state, units, reason]) };
};

test('I1: units go in ticket order, then the waitlist fills, then the rest is refused', () => {
  const claims = [5, 4, 3, 2, 1].map((ticket) => claim({ ticket, quantity: 4 }));
  const result = outcome(claims);
  expect(result.decisions).toEqual([
    ['allocated', 4, null],
    ['allocated', 4, null],
    ['waitlisted', 0, null],
    ['rejected', 0, 'sold_out'],
    ['rejected', 0, 'sold_out'],
  ]);
  expect(result.moves).toEqual([{ saleId, available: -8, allocated: 8, waitlisted: 1 }]);
});

test('a partial fill takes what is left if it reaches its minimum, all-or-nothing does not', () => {
  expect(outcome([claim({ quantity: 12, atLeast: 10 })], sale({ capPerCustomer: 20 })).decisions).toEqual([
    ['allocated', 10, null],
  ]);
  expect(
    outcome([claim({ quantity: 12, atLeast: 11 })], sale({ capPerCustomer: 20, allotment: 12 })).decisions,
  ).toEqual([['waitlisted', 0, null]]);
});

test('L4: a demand for more units than the sale has is refused', () => {
  const claims = [claim({ quantity: 11 }), claim({ quantity: 12, atLeast: 10, ticket: 2 })];
  expect(outcome(claims, sale({ capPerCustomer: 20 })).decisions).toEqual([
    ['rejected', 0, 'over_allotment'],
    ['allocated', 10, null],
  ]);
});

test('I11: no customer gets units of a sale in which they can serve a waiter', () => {
  const row = sale({ waitlisted: 1, waitlistSize: 2 });
  const { decisions, moves } = decide(
    [claim(), claim({ ticket: 2 })],
    new Map([[saleId, row]]),
    new Map(),
    1_500,
    new Set([saleId]),
  );
  expect(decisions.map(({ state }) => state)).toEqual(['waitlisted', 'rejected']);
  expect(moves).toEqual([{ saleId, available: 0, allocated: 0, waitlisted: 1 }]);
  // Whether they can is known only to who holds the sale.
  expect(outcome([claim()], row).independentOfStock).toBe(false);
});

test('I4: the cap counts what is held before, within the batch, and on the waitlist', () => {
  const customerId = newId();
  const claims = [1, 2, 3].map((ticket) => claim({ customerId, ticket, quantity: 3 }));
  const held = new Map([[saleId, new Map([[customerId, { units: 4, reservations: 2 }]])]]);
  expect(outcome(claims, sale(), held).decisions).toEqual([
    ['allocated', 3, null],
    ['allocated', 3, null],
    ['rejected', 0, 'over_cap'],
  ]);
  const { decisions } = decide(claims, new Map([[saleId, sale()]]), held, 1_500);
  expect(decisions.map(({ nth }) => nth)).toEqual([2, 3, 4]);
  const waiting = outcome(claims, sale({ available: 0, waitlistSize: 9, capPerCustomer: 6 }));
  expect(waiting.decisions.map(([state]) => state)).toEqual(['waitlisted', 'waitlisted', 'rejected']);
});

test.each([
  ['before the period', { acceptedAtMs: 999 }, {}, 'sale_not_open'],
  ['at its end', { acceptedAtMs: 2_000 }, {}, 'sale_closed'],
  ['in a cancelled sale', {}, { status: 'cancelled' as const }, 'sale_cancelled'],
  ['while paused, if the gate did not judge it', { gated: false }, { status: 'paused' as const }, 'sale_paused'],
])('I8: a request %s is refused', (_, change, row, reason) => {
  expect(outcome([claim(change)], sale(row)).decisions).toEqual([['rejected', 0, reason]]);
});

test('I8: the first and the last millisecond of the period count', () => {
  expect(outcome([claim({ acceptedAtMs: 1_000 }), claim({ acceptedAtMs: 1_999 })]).decisions).toEqual([
    ['allocated', 1, null],
    ['allocated', 1, null],
  ]);
});

test('a request that passed the gate before a pause is still decided', () => {
  expect(outcome([claim()], sale({ status: 'paused' })).decisions).toEqual([['allocated', 1, null]]);
});

test('a claim on a sale that does not exist is refused and moves nothing', () => {
  const result = decide([claim({ saleId: newId() })], new Map(), new Map(), 1_500);
  expect(result.decisions.map(({ reason }) => reason)).toEqual(['not_found']);
  expect(result.moves).toEqual([]);
});

test('I1 and I4 for any batch: moves are the sums of the decisions, no stock is invented, no cap broken', () => {
  const customers = Array.from({ length: 4 }, () => newId());
  const anyClaim = fc
    .record({
      quantity: fc.integer({ min: 1, max: 8 }),
      least: fc.integer({ min: 1, max: 8 }),
      customerId: fc.constantFrom(...customers),
      ticket: fc.nat(50),
    })
    .map(({ quantity, least, customerId, ticket }) =>
      claim({ quantity, atLeast: Math.min(quantity, least), customerId, ticket }),
    );
  fc.assert(
    fc.property(
      fc.array(anyClaim, { maxLength: 40 }),
      fc.nat(40),
      fc.nat(5),
      fc.integer({ min: 1, max: 20 }),
      (claims, available, waitlistSize, capPerCustomer) => {
        const row = sale({ available, allotment: available, waitlistSize, capPerCustomer });
        const { decisions, moves, independentOfStock } = decide(claims, new Map([[saleId, row]]), new Map(), 1_500);
        const units = decisions.reduce((sum, one) => sum + one.units, 0);
        const waiting = decisions.filter((one) => one.state === 'waitlisted').length;
        expect(decisions).toHaveLength(claims.length);
        expect(units).toBeLessThanOrEqual(available);
        expect(waiting).toBeLessThanOrEqual(waitlistSize);
        expect(moves[0] ?? { available: 0, waitlisted: 0 }).toMatchObject({
          available: units === 0 ? 0 : -units,
          waitlisted: waiting,
        });
        for (const customerId of customers) {
          const own = decisions.filter((one) => one.customerId === customerId);
          const claimed = own.reduce((sum, one) => sum + (one.state === 'waitlisted' ? one.quantity : one.units), 0);
          expect(claimed).toBeLessThanOrEqual(capPerCustomer);
        }
        for (const one of decisions) {
          if (one.state === 'allocated') expect(one.units).toBeGreaterThanOrEqual(one.atLeast);
        }
        if (independentOfStock)
          expect(decisions.some((one) => one.state === 'waitlisted' || one.reason === 'sold_out')).toBe(false);
      },
    ),
  );
});
