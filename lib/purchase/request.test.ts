import { asRequested, type ReservationRow } from '#reservation/reservation.store.ts';
import type { SaleRow } from '#sale/sale.store.ts';
import { newId } from '#test/support/ids.ts';
import { judge } from './request.ts';

const opensAtMs = 1_000_000;
const closesAtMs = 2_000_000;
const now = 1_500_000;

function sale(change: Partial<SaleRow> = {}): SaleRow {
  return {
    saleId: newId(),
    productId: newId(),
    name: 'A sale',
    epoch: 1,
    version: 1,
    allotment: 10,
    available: 0,
    allocated: 10,
    sold: 0,
    waitlisted: 0,
    status: 'active',
    phase: 'purchasing',
    capPerCustomer: 10,
    capPer: 'customer',
    requiresContact: false,
    paymentProvider: null,
    waitlistSize: 0,
    offerLifeMs: 60_000,
    reserveOpensAtMs: 1,
    reserveClosesAtMs: 2,
    purchaseOpensAtMs: opensAtMs,
    purchaseClosesAtMs: closesAtMs,
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
    priceMinor: 1_250,
    currency: 'EUR',
    ...change,
  };
}

function reservation(of: SaleRow, change: Partial<ReservationRow> = {}): ReservationRow {
  return {
    reservationId: newId(),
    saleId: of.saleId,
    customerId: newId(),
    ticket: 1,
    quantity: 2,
    atLeast: 2,
    state: 'allocated',
    units: 2,
    reason: null,
    deadlineMs: null,
    purchaseId: null,
    version: 1,
    acceptedAtMs: 1,
    decidedAtMs: 1,
    ...asRequested,
    ...change,
  };
}

const judged = (rows: ReservationRow[], sales: SaleRow[], nowMs = now) =>
  judge(
    rows.map(({ reservationId }) => ({ reservationId, rest: 'keep' })),
    rows,
    new Map(sales.map((one) => [one.saleId, one])),
    nowMs,
  );

describe('judging a purchase', () => {
  it('sums units times price over sales of one currency, and keeps the order of the request', () => {
    const [first, second] = [sale(), sale({ priceMinor: 300 })];
    const rows = [reservation(first), reservation(second, { units: 5, quantity: 5 })];
    expect(judged(rows, [first, second])).toMatchObject({
      amountMinor: 2 * 1_250 + 5 * 300,
      currency: 'EUR',
      items: [{ reservationId: rows[0]?.reservationId, priceMinor: 1_250 }, { units: 5 }],
    });
  });

  it('is exact to the millisecond at both ends of the window (I8)', () => {
    const one = sale();
    const rows = [reservation(one)];
    expect(judged(rows, [one], opensAtMs - 1)).toMatchObject({ refused: 'window_not_open' });
    expect(judged(rows, [one], opensAtMs)).toMatchObject({ amountMinor: 2_500 });
    expect(judged(rows, [one], closesAtMs - 1)).toMatchObject({ amountMinor: 2_500 });
    expect(judged(rows, [one], closesAtMs)).toMatchObject({ refused: 'window_closed' });
  });

  it('an offer ends at its own deadline', () => {
    const one = sale();
    const rows = [reservation(one, { deadlineMs: now })];
    expect(judged(rows, [one], now - 1)).toMatchObject({ amountMinor: 2_500 });
    expect(judged(rows, [one], now)).toMatchObject({ refused: 'deadline_passed' });
  });

  it.each([
    [{ state: 'waitlisted', units: 0 }, 'illegal_state'],
    [{ state: 'rejected', units: 0 }, 'illegal_state'],
    [{ state: 'cancelled' }, 'illegal_state'],
    [{ state: 'refunded' }, 'illegal_state'],
    [{ state: 'purchased' }, 'already_resolved'],
    [{ state: 'expired' }, 'deadline_passed'],
    [{ state: 'allocated', purchaseId: newId() }, 'purchase_in_progress'],
  ] as const)('refuses a reservation that is %j', (change, refused) => {
    const one = sale();
    const row = reservation(one, change);
    expect(judged([row], [one])).toMatchObject({ refused, facts: { reservationId: row.reservationId } });
  });

  it.each([
    ['paused', 'sale_paused'],
    ['cancelled', 'sale_cancelled'],
  ] as const)('refuses while the sale is %s', (status, refused) => {
    const one = sale({ status });
    expect(judged([reservation(one)], [one])).toMatchObject({ refused });
  });

  it('refuses two currencies in one payment', () => {
    const [euro, dollar] = [sale(), sale({ currency: 'USD' })];
    expect(judged([reservation(euro), reservation(dollar)], [euro, dollar])).toMatchObject({
      refused: 'mixed_currencies',
    });
  });

  it('has the provider that its sales name, and refuses two of them, also if only some name one', () => {
    const [toss, other, stripe, none] = [
      sale({ paymentProvider: 'toss' }),
      sale({ paymentProvider: 'toss' }),
      sale({ paymentProvider: 'stripe' }),
      sale(),
    ];
    const bundle = (...sales: SaleRow[]) =>
      judged(
        sales.map((one) => reservation(one)),
        sales,
      );
    expect(bundle(toss, other)).toMatchObject({ provider: 'toss' });
    expect(bundle(none)).toMatchObject({ provider: null });
    for (const third of [stripe, none]) {
      expect(bundle(toss, third)).toMatchObject({
        ...{ refused: 'mixed_providers', facts: { paymentProviders: ['toss', third.paymentProvider] } },
      });
    }
  });

  it('one reservation that is not the caller’s refuses all of them, and reveals nothing about it', () => {
    const one = sale();
    const mine = reservation(one);
    const sales = new Map([[one.saleId, one]]);
    const wanted = [mine.reservationId, newId()].map((reservationId) => ({ reservationId, rest: 'keep' as const }));
    expect(judge(wanted, [mine], sales, now)).toMatchObject({ refused: 'not_found' });
  });

  it.each([
    [1, 'keep'],
    [2, 'give_back'],
  ] as const)('buys %d of three units, and the others: %s', (units, rest) => {
    const one = sale();
    const row = reservation(one, { units: 3, quantity: 3 });
    const { reservationId } = row;
    expect(judge([{ reservationId, units, rest }], [row], new Map([[one.saleId, one]]), now)).toMatchObject({
      amountMinor: units * 1_250,
      items: [{ reservationId, units }],
      inPart: [{ units, rest }],
    });
  });

  it('buys as a whole what names all of its units, and refuses more', () => {
    const one = sale();
    const row = reservation(one, { units: 3, quantity: 5 });
    const buying = (units: number) =>
      judge([{ reservationId: row.reservationId, units, rest: 'keep' }], [row], new Map([[one.saleId, one]]), now);
    expect(buying(3)).toMatchObject({ items: [{ units: 3 }], inPart: [] });
    expect(buying(4)).toMatchObject({ refused: 'cannot_grow', facts: { units: 3 } });
  });

  it('refuses a sum that would not be exact', () => {
    const one = sale({ priceMinor: 100_000_000_000 });
    const rows = Array.from({ length: 10 }, () => reservation(one, { units: 10_000, quantity: 10_000 }));
    expect(judged(rows, [one])).toMatchObject({ refused: 'unprocessable' });
  });
});
